"""Pick headings and checkboxes out of a Markdown file, and count what only looks like one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from moonmind.domain.plan_blocks import BlockReader, Line, LineKind
from moonmind.domain.plan_ids import TaskLabel, read_label
from moonmind.domain.plan_text import PlanText

# `[ ]`, `[x]`, `[~]`, `[N/A]`, `[⚠️]`; behind it a blank, or at once the id. A link is no box.
_BOX = re.compile(r"(~~)?\[([^\[\]()]{0,12})\](?=\*?(?:[ \t]|$)|[*~`]{0,3}T-?\d)\*?")
_BACKTICKED = re.compile(r"`\[[ xX]?\]`")
_TASK_TITLE = re.compile(r"\W{0,6}(T-?\d{1,4}[a-z]?|Task \d+(?:\.\d+)*)(?=[^\w]|$)", re.ASCII)
_UNBOXED = re.compile(r"\W{0,4}T-?\d{1,4}(?![A-Za-z])", re.ASCII)
_HIDDEN_BOX = re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[([ xX]?)\][ \t]+\W{0,4}T-?\d")
_RUN_TOGETHER = re.compile(r"(?<!`)[-*] \[[ xX]\] \W{0,4}T-?\d")
_CANCELLED_MARKS = frozenset({"-", "⊘", "n/a", "na", "skip", "skipped", "cancelled", "canceled", "wontfix"})
_OPEN_WORDS = frozenset({"wip", "todo", "hold", "blocked", "deferred", "partial"})
_SHOWN_KINDS = frozenset({LineKind.FENCE, LineKind.COMMENT, LineKind.QUOTE, LineKind.CODE})
BOLD_LEVEL = 7


class TaskState(StrEnum):
    """What a task's mark says; `other` is neither done nor to be submitted."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"
    OTHER = "other"


@dataclass(frozen=True)
class Heading:
    """
    A heading; or a line that serves as one only if it names a phase.

    Such are bold lines (`BOLD_LEVEL`) and lines that a rule of dashes below makes a heading
    by accident more often than on purpose. They are not firm.
    """

    line: int
    level: int
    title: str
    is_firm: bool = True

    @property
    def task_key(self) -> str | None:
        """The id of the task that this heading is, if it is one, as ids are compared."""
        found = _TASK_TITLE.match(self.title)
        return found.group(1).casefold() if found else None


@dataclass
class Box:
    """A list item with a checkbox; the note lines are the ones below that belong to it."""

    line: int
    mark: str
    mark_start: int
    label: TaskLabel
    content: str
    """All that stands behind the brackets."""
    parent: "Box | None"
    state: TaskState
    runs_together: bool = False
    note_lines: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class HiddenBox:
    """A task that stands in code, a comment or a quotation, and is none."""

    line: int
    kind: LineKind
    opened_at: int
    is_open: bool


@dataclass
class Outline:
    """Everything in the file that could be a task, a phase, or the reason why there is none."""

    text: PlanText
    headings: list[Heading] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    hidden: list[HiddenBox] = field(default_factory=list)
    task_titles: list[Heading] = field(default_factory=list)
    backticked: list[int] = field(default_factory=list)
    unboxed: list[int] = field(default_factory=list)
    is_wrapped: bool = False
    doubtful: set[int] = field(default_factory=set)
    """Lines that open a fence or comment which is never closed, or only by another one's fence."""


def read_outline(text: PlanText) -> Outline:
    """Read the whole file once; the cost grows with its size alone."""
    outline = Outline(text)
    reader = BlockReader(text)
    _Collector(outline).collect(reader.lines())
    outline.is_wrapped = reader.wrapped
    outline.doubtful = reader.doubtful
    if reader.unclosed is not None:
        outline.doubtful.add(reader.unclosed.opened_at)
    return outline


class _Collector:
    """Keeps the box that the lines below it belong to."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._owners: dict[int, Box] = {}
        """The innermost box around each list item that may still get lines."""
        self._text_line: Line | None = None

    def collect(self, lines: Iterator[Line]) -> None:
        for line in lines:
            if line.kind in _SHOWN_KINDS:
                self._shown(line)
            elif line.kind is LineKind.ITEM:
                self._item(line)
            elif line.kind is LineKind.HEADING and line.parent is None:
                self._heading(line)
            elif line.kind is LineKind.UNDERLINE:
                self._underline(line)
            elif line.kind is LineKind.TEXT:
                self._bold_line(line)
            self._text_line = line if line.kind is LineKind.TEXT else None
            if line.kind not in (LineKind.BLANK, LineKind.ITEM, LineKind.RULE):
                self._note(line)

    def _content(self, line: Line) -> str:
        return self._outline.text.readable[line.content : self._outline.text.spans[line.number - 1][1]]

    def _item(self, line: Line) -> None:
        content = self._content(line)
        parent = self._owners.get(line.parent or 0)
        box = self._box(line, content, parent)
        if box is not None:
            self._outline.boxes.append(box)
            self._owners[line.number] = box
        elif parent is not None:
            self._owners[line.number] = parent
        if box is None and _BACKTICKED.match(content):
            self._outline.backticked.append(line.number)
        elif box is None and _UNBOXED.match(content):
            self._outline.unboxed.append(line.number)
        if parent is not None:
            parent.note_lines.append(line.number)

    def _box(self, line: Line, content: str, parent: Box | None) -> Box | None:
        found = _BOX.match(content)
        if found is None or not content[found.end() :].strip():
            return None
        mark = found.group(2)
        label = read_label(content[found.end() :])
        state = _state(mark, label, is_struck_out=bool(found.group(1)) or label.is_struck_out)
        if state is None:
            return None
        return Box(
            line=line.number,
            mark=mark,
            mark_start=line.content + found.start(2),
            label=label,
            content=content[found.end() :].strip(),
            parent=parent,
            state=state,
            runs_together=" [" in label.text and _RUN_TOGETHER.search(label.text) is not None,
        )

    def _heading(self, line: Line) -> None:
        title = self._content(line).strip()
        without_hashes = title.rstrip("#")
        if without_hashes.endswith((" ", "\t")):  # closing hashes are no part of the title
            title = without_hashes.rstrip()
        self._add_heading(Heading(line.number, line.level, title))

    def _underline(self, line: Line) -> None:
        if self._text_line is not None:
            title = self._content(self._text_line).strip()
            self._add_heading(Heading(self._text_line.number, line.level, title, is_firm=False))

    def _bold_line(self, line: Line) -> None:
        if line.parent is None and self._outline.text.readable.startswith(("**", "__"), line.content):
            title = self._content(line).strip()
            if _UNBOXED.match(title):
                self._outline.unboxed.append(line.number)
            bold = title.removesuffix(":")
            if bold[:2] == bold[-2:] and bold.count(bold[:2]) == 2:  # noqa: PLR2004 - one opens, one closes
                title = bold[2:-2].strip()
            self._add_heading(Heading(line.number, BOLD_LEVEL, title, is_firm=False))

    def _add_heading(self, heading: Heading) -> None:
        headings = self._outline.headings
        if headings and headings[-1].line == heading.line:
            headings.pop()  # a bold line that turned out to be underlined
        headings.append(heading)
        if heading.is_firm and heading.task_key:
            self._outline.task_titles.append(heading)

    def _shown(self, line: Line) -> None:
        content = self._content(line)
        if "[" not in content:
            return
        found = _HIDDEN_BOX.match(content)
        if found is not None:
            is_open = found.group(1) not in ("x", "X")
            opened_at = line.opened_at or line.number
            self._outline.hidden.append(HiddenBox(line.number, line.kind, opened_at, is_open))

    def _note(self, line: Line) -> None:
        owner = self._owners.get(line.parent or 0)
        if owner is not None:
            owner.note_lines.append(line.number)


def _state(mark: str, label: TaskLabel, *, is_struck_out: bool) -> TaskState | None:
    """Return what a mark says, or None where the brackets hold a legend such as [P] or [US1]."""
    inner = mark.strip()
    if inner in ("x", "X"):
        return TaskState.DONE
    if not inner:
        return TaskState.CANCELLED if is_struck_out else TaskState.OPEN
    word = inner.casefold()
    if word in _CANCELLED_MARKS:
        return TaskState.CANCELLED
    is_symbol = not any(character.isalnum() for character in inner)
    is_letter = len(inner) == 1 and inner.isalpha() and inner not in "Pp" and label.id is not None
    if not (is_symbol or is_letter or word in _OPEN_WORDS):
        return None
    return TaskState.CANCELLED if is_struck_out else TaskState.OTHER


def first_lines(text: PlanText, count: int, width: int) -> Sequence[str]:
    """Quote the first lines that are not blank, each with its number and cut to a width."""
    quoted = []
    for number in range(1, len(text.spans) + 1):
        line = text.line(number).strip()
        if line:
            cut = line if len(line) <= width else line[: width - 1] + "…"
            quoted.append(f"{number}: {cut}")
        if len(quoted) == count:
            break
    return quoted
