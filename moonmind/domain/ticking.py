"""Tick tasks without touching another byte, and learn from an edited tasks.md which tasks its editor ticked."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from moonmind.domain.errors import WorkflowError
from moonmind.domain.plan_lines import Box, TaskState, read_outline
from moonmind.domain.plan_text import decode_plan
from moonmind.domain.results import TaskRef

_DONE_MARKS = ("X", "x")
_DEFAULT_MARK = "X"
_Key = tuple[str, str]


def tick(content: bytes, lines: Collection[int]) -> bytes:
    """
    Mark the tasks on these lines as done; every byte outside their brackets stays.

    The mark is `X` or `x`, whichever the file uses more. Tasks that are done already stay as
    they are, so repeating this changes nothing. Raises `WorkflowError`
    (`tasks_file_unreadable`) for what is no text, and `ValueError` for a line without a
    checkbox: the lines must come from this very content.
    """
    text = decode_plan(content)
    boxes = {box.line: box for box in read_outline(text).boxes}
    missing = sorted(set(lines) - boxes.keys())
    if missing:
        message = f"no checkbox on these lines: {missing[:5]}"
        raise ValueError(message)
    uses = Counter(box.mark.strip() for box in boxes.values())
    mark = max(_DONE_MARKS, key=lambda done: (uses[done], done == _DEFAULT_MARK))
    pieces = []
    position = 0
    for line in sorted(set(lines)):
        box = boxes[line]
        if box.state is not TaskState.DONE:
            pieces += [text.raw[position : box.mark_start], mark]
            position = box.mark_start + len(box.mark)
    return text.encode("".join(pieces) + text.raw[position:])


def reported_done(base: bytes, after: bytes, submitted: Sequence[TaskRef]) -> frozenset[int] | None:
    """
    Return the lines (of the base) of the submitted tasks that an agent's edited file marks as done.

    None means that the agent reported nothing: its file has the same marks as the base, or
    cannot be read. Tasks are found again by id and occurrence, those without an id by their
    text, so that lines may have moved and descriptions may have been rewritten.
    """
    before = _boxes(base)
    now = _boxes(after)
    counterparts = _Counterparts(before, now)
    if not any(found.state is not box.state for box in before if (found := counterparts.of(box.line))):
        return None
    return _done_among(submitted, counterparts)


def ticked_elsewhere(base: bytes, tip: bytes, submitted: Sequence[TaskRef]) -> frozenset[int]:
    """
    Return the lines (of the base) of the submitted tasks that are done in a newer version of the file.

    A newer version that cannot be read, or has the tasks no more, ticks none of them.
    """
    return _done_among(submitted, _Counterparts(_boxes(base), _boxes(tip)))


def _boxes(content: bytes) -> Sequence[Box]:
    try:
        return read_outline(decode_plan(content)).boxes
    except WorkflowError:
        return ()


def _done_among(submitted: Sequence[TaskRef], counterparts: "_Counterparts") -> frozenset[int]:
    return frozenset(
        task.line
        for task in submitted
        if (found := counterparts.of(task.line)) is not None and found.state is TaskState.DONE
    )


class _Counterparts:
    """
    Pairs the checkboxes of two versions of a file.

    The first round pairs those with the same id and the same text, the second those with the
    same id in order. A box without an id has nothing but its text.
    """

    def __init__(self, before: Sequence[Box], now: Sequence[Box]) -> None:
        self._pairs: dict[int, Box] = {}
        rest_before, rest_now = self._pair(before, now, by_text=True)
        self._pair(
            [box for box in rest_before if box.label.id], [box for box in rest_now if box.label.id], by_text=False
        )

    def of(self, line: int) -> Box | None:
        """Return what the checkbox on a line of the older version has become."""
        return self._pairs.get(line)

    def _pair(self, before: Sequence[Box], now: Sequence[Box], *, by_text: bool) -> tuple[Sequence[Box], Sequence[Box]]:
        waiting: Mapping[_Key, list[Box]] = defaultdict(list)
        for box in reversed(now):
            waiting[_key(box, by_text=by_text)].append(box)
        unpaired = []
        for box in before:
            candidates = waiting[_key(box, by_text=by_text)]
            if candidates:
                self._pairs[box.line] = candidates.pop()
            else:
                unpaired.append(box)
        left = {box.line for candidates in waiting.values() for box in candidates}
        return unpaired, [box for box in now if box.line in left]


def _key(box: Box, *, by_text: bool) -> _Key:
    return box.label.key, " ".join(box.label.text.split()) if by_text else ""
