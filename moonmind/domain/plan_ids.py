"""Find a task's id in front of its text, and tell ids from words that only look like one."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

# Markup and symbols that people put in front of an id: bold, code, strike-through, a check mark.
_DECORATION = re.compile(r"_{1,2}(?=[A-Z\[])|[^\w\[]{0,12}")
_BEHIND_ID = re.compile(r"[*_`~\])>:.]{0,6}(?:[ \t]+[-–—:|]+(?=[ \t]))?[ \t]*")
_LABEL = re.compile(r"\[([^\[\]]{1,24})\][ \t]*")
# T001, T015a, T023.1, T044-MIN, T-010, T-AI-003, TASK-7, Task 1.2; but of T001-T005 only the first.
_TASK_ID = re.compile(
    r"(?:(?:T|TASK)(?:-[A-Z]{1,6})?-?\d{1,6}|Task[ -]?\d{1,6})(?:[A-Za-z]{1,2}(?![A-Za-z0-9_]))?"
    r"(?:[-._](?!T-?\d)[A-Za-z0-9]{1,8}(?![A-Za-z0-9_])){0,3}(?![A-Za-z0-9_])"
)
# S001, CHK012, FU-1, US1-T02: letters with a padded or dashed number.
_OTHER_ID = re.compile(
    r"(?:[A-Z]{1,6}\d{0,3}[-_]){0,2}(?:[A-Z]{1,6}(?:\d{3,5}|0\d)|(?<=[-_])\d{1,5})[a-z]?(?![A-Za-z0-9_-])"
)
_NUMBER_ID = re.compile(r"(?:\d{1,4}(?:[.-]\d{1,4}){1,4}|0\d{1,3}|\d{1,4}(?=[.)][ \t]))(?![A-Za-z0-9_])")
_PREFIX = re.compile(r"[A-Za-z]+")
_TWO_DIGITS = re.compile(r"\d\D*\d")
_NUMBER_PREFIX = "#"
_MAX_LABELS = 4


class IdShape(StrEnum):
    """How sure it is that something is an id."""

    TASK = "task"
    OTHER = "other"
    NUMBER = "number"


class TaskLabel(NamedTuple):
    """What stands in front of a task's description."""

    text: str
    """The description; labels such as [P] and [US1] stay in it."""
    id: str | None = None
    shape: IdShape | None = None
    is_struck_out: bool = False
    key: str = ""
    """The id as it is compared."""
    prefix: str = _NUMBER_PREFIX
    """The letters that this id shares with its family: T for T001, `#` for 1.1."""


def read_label(text: str) -> TaskLabel:
    """Split the text behind a checkbox into id and description."""
    position = 0
    struck = False
    second_choice: _FoundId | None = None
    for _ in range(_MAX_LABELS):
        decoration = _DECORATION.match(text, position)
        if decoration is not None:
            struck = struck or "~~" in decoration.group(0)
            position = decoration.end()
        found = _identify(text, position)
        label = _LABEL.match(text, position)
        if found is None and label is not None:
            found = _identify(text, label.start(1), label.end(1))
        if found is not None and found.shape is IdShape.TASK:
            return _labelled(text, found, is_struck_out=struck)
        second_choice = second_choice or found
        if label is None:
            break
        position = label.end()
    if second_choice is not None:
        return _labelled(text, second_choice, is_struck_out=struck)
    return TaskLabel(text.strip(), is_struck_out=_is_wholly_struck(text))


class _FoundId(NamedTuple):
    id: str
    shape: IdShape
    end: int


def _identify(text: str, position: int, end: int | None = None) -> _FoundId | None:
    """Return the id that starts here; with an `end`, only one that fills all up to there."""
    for pattern, shape in ((_TASK_ID, IdShape.TASK), (_OTHER_ID, IdShape.OTHER), (_NUMBER_ID, IdShape.NUMBER)):
        found = pattern.match(text, position) if end is None else pattern.fullmatch(text, position, end)
        if found is not None:
            return _FoundId(found.group(0), shape, found.end())
    return None


def _labelled(text: str, found: _FoundId, *, is_struck_out: bool) -> TaskLabel:
    behind = _BEHIND_ID.match(text, found.end)
    description = text[behind.end() if behind else found.end :].strip()
    is_struck_out = is_struck_out or _is_wholly_struck(description)
    for mark in ("**", "~~", "`"):
        if description.endswith(mark) and description.count(mark) % 2:
            description = description.removesuffix(mark).rstrip()
    letters = _PREFIX.match(found.id)
    prefix = letters.group(0).upper() if letters else _NUMBER_PREFIX
    return TaskLabel(description, found.id, found.shape, is_struck_out, found.id.casefold(), prefix)


def _is_wholly_struck(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) > len("~~~~") and stripped.startswith("~~") and stripped.endswith("~~")


def accepted_prefixes(labels: Iterable[TaskLabel]) -> Mapping[IdShape, frozenset[str]]:
    """
    Decide from all boxes of a file which families of ids it uses.

    `T4 GPU` or `UTF-8 works` look like ids, but stand alone; `3.5 mm` looks like one, but
    stands among boxes that have none.
    """
    families: dict[tuple[IdShape, str], set[str]] = defaultdict(set)
    shapes: Counter[IdShape | None] = Counter()
    for label in labels:
        shapes[label.shape] += 1
        if label.shape is not None:
            families[label.shape, label.prefix].add(label.key)
    accepted: dict[IdShape, set[str]] = defaultdict(set)
    for (shape, prefix), members in families.items():
        is_certain = shape is IdShape.TASK and any(_TWO_DIGITS.search(member) for member in members)
        if is_certain or (shape is not IdShape.NUMBER and len(members) > 1):
            accepted[shape].add(prefix)
    numbered = shapes[IdShape.NUMBER]
    if not accepted and numbered > 1 and 2 * numbered >= shapes.total():
        accepted[IdShape.NUMBER].add(_NUMBER_PREFIX)
    return {shape: frozenset(prefixes) for shape, prefixes in accepted.items()}
