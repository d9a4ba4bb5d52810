"""Say what is odd about a task list, in words that name the lines."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from moonmind.domain.plan_blocks import LineKind
from moonmind.domain.plan_lines import Box, HiddenBox, Outline, TaskState, first_lines
from moonmind.domain.plan_model import PlanPhase, PlanTask
from moonmind.domain.plan_phases import Sections

_QUOTED_LINES = 3
_QUOTED_WIDTH = 80
_NAMED = 6
_MAX_DUPLICATES = 20
_LONG_LINE = 1_000


def warnings_about(outline: Outline, sections: Sections, phases: Sequence[PlanPhase]) -> tuple[str, ...]:
    """Collect the warnings, from the bytes up to the order of work; their number has a limit."""
    return (
        *_about_the_file(outline),
        *_about_hidden(outline),
        *_about_left_aside(outline, sections),
        *_about_duplicates(phases),
        *_about_notes(outline.boxes, phases),
        *_about_order(phases),
    )


def doubts(outline: Outline, sections: Sections, *, has_work: bool) -> str:
    """
    Say why what was read cannot be trusted, or return an empty string.

    Where tasks are headings, the checkboxes are only their checks. And where nothing is open,
    a fence that nobody closed may hide the open tasks, or lost line breaks may have joined
    them to finished ones.
    """
    total = sum(len(section.boxes) for section in sections.found)
    uncovered = _titles_without_box(outline)
    if len(uncovered) > total and not (has_work and sections.has_ids):
        titles = _count(uncovered, "task")
        return f"{titles} written as headings without a checkbox ({_lines(uncovered)}); they cannot be ticked"
    if has_work:
        return ""
    hidden = [box for box in outline.hidden if box.is_open and box.opened_at in outline.doubtful]
    if hidden:
        opened_at = hidden[0].opened_at
        lines = _lines(box.line for box in hidden)
        tasks = _count(hidden, "open task")
        return f"the {hidden[0].kind} opened on line {opened_at} is not closed and hides {tasks} ({lines})"
    joined = [box.line for box in outline.boxes if box.runs_together]
    if joined:
        return f"several tasks stand on one line ({_lines(joined)}): line breaks were lost"
    return ""


def no_task_reason(outline: Outline, sections: Sections) -> str:
    """Say why no task was found, with counts of what comes close and the first lines."""
    text = outline.text
    found = [
        *_counted(len(outline.task_titles), "task written as a heading", "tasks written as headings"),
        *_counted(len(outline.backticked), "checkbox in backticks", "checkboxes in backticks"),
        *_counted(len(outline.unboxed), "line with an id but no checkbox", "lines with an id but no checkbox"),
        *_counted(len(sections.outside), "checkbox of another family", "checkboxes of other families"),
        *_hidden_counts(outline.hidden),
    ]
    examples = [*outline.backticked, *(title.line for title in outline.task_titles), *outline.unboxed]
    parts = [f"no task was found in {_count(text.spans, 'line')}"]
    if found:
        where = f" (the first on line {min(examples)})" if examples else ""
        parts.append("it has " + ", ".join(found) + where)
    longest = max((end - start for start, end in text.spans), default=0)
    if longest > _LONG_LINE and 2 * longest > len(text.raw):
        parts.append(f"most of it is one line of {longest:,} characters: its line breaks were lost")
    quoted = first_lines(text, _QUOTED_LINES, _QUOTED_WIDTH)
    parts.append("it begins with “" + "” / “".join(quoted) + "”" if quoted else "it is empty")
    return "; ".join(parts)


def _about_the_file(outline: Outline) -> Iterator[str]:
    if garbled := outline.text.garbled_lines:
        yield f"some bytes are not UTF-8 ({_lines(garbled)}); they are kept as they are"
    if outline.text.encoding != "utf-8":
        yield "the file is UTF-16, which git takes for binary; save it as UTF-8"
    if outline.is_wrapped:
        yield "line 1 opens a code fence around the whole file; it was passed over"
    joined = [box.line for box in outline.boxes if box.runs_together]
    if joined:
        yield f"several tasks seem to stand on one line ({_lines(joined)})"


def _about_hidden(outline: Outline) -> Iterator[str]:
    by_opening: dict[int, list[HiddenBox]] = {}
    for box in outline.hidden:
        if box.opened_at in outline.doubtful:
            by_opening.setdefault(box.opened_at, []).append(box)
    for opened_at, boxes in by_opening.items():
        hidden = f"{_count(boxes, 'task')} ({_lines(box.line for box in boxes)})"
        yield f"the {boxes[0].kind} opened on line {opened_at} is not closed and hides {hidden}"


def _about_left_aside(outline: Outline, sections: Sections) -> Iterator[str]:
    without_id = [box.line for box in sections.without_id if box.state is TaskState.OPEN]
    if without_id:
        boxes = _count(without_id, "open checkbox")
        yield f"{boxes} without an id among tasks that have one; not counted ({_lines(without_id)})"
    aside = [box.line for box in sections.outside if box.state is TaskState.OPEN]
    if aside:
        yield f"{_count(aside, 'open checkbox')} outside the phases taken for references or checks ({_lines(aside)})"
    uncovered = _titles_without_box(outline)
    if uncovered:
        yield f"{_count(uncovered, 'task')} written as a heading without a checkbox; not counted ({_lines(uncovered)})"
    if outline.backticked:
        yield f"{_count(outline.backticked, 'checkbox')} in backticks; not counted ({_lines(outline.backticked)})"


def _titles_without_box(outline: Outline) -> list[int]:
    """Find the headings such as `### T001: …` that have neither a box of that id nor one below them."""
    boxed = {box.label.key for box in outline.boxes if box.label.id}
    box_lines = [box.line for box in outline.boxes]
    uncovered = []
    firm = [heading for heading in outline.headings if heading.is_firm]
    following = {heading.line: after.line for heading, after in pairwise(firm)}
    position = 0
    for title in outline.task_titles:
        while position < len(box_lines) and box_lines[position] < title.line:
            position += 1
        end = following.get(title.line)
        has_box = position < len(box_lines) and (end is None or box_lines[position] < end)
        if not has_box and title.task_key not in boxed:
            uncovered.append(title.line)
    return uncovered


def _about_duplicates(phases: Sequence[PlanPhase]) -> Iterator[str]:
    lines: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for task in _tasks(phases):
        if task.id is not None:
            lines.setdefault(task.id.casefold(), []).append(task.line)
            names.setdefault(task.id.casefold(), task.id)
    doubled = [key for key, found in lines.items() if len(found) > 1]
    for key in doubled[:_MAX_DUPLICATES]:
        yield f"the id {names[key]} is used {len(lines[key])} times ({_lines(lines[key])})"
    if len(doubled) > _MAX_DUPLICATES:
        yield f"{len(doubled) - _MAX_DUPLICATES} more ids are used more than once"


def _about_notes(boxes: Sequence[Box], phases: Sequence[PlanPhase]) -> Iterator[str]:
    done = {task.line for task in _tasks(phases) if task.state is TaskState.DONE}
    notes = (box for box in boxes if box.state is TaskState.OPEN)
    parents = {box.parent.line for box in notes if box.parent is not None and box.parent.line in done}
    if parents:
        yield f"{_count(parents, 'task')} done although a checkbox below is open ({_lines(sorted(parents))})"


def _about_order(phases: Sequence[PlanPhase]) -> Iterator[str]:
    following = next((index for index, phase in enumerate(phases) if phase.open_tasks), None)
    if following is None:
        return
    phase = phases[following]
    if any(later.finished_tasks for later in phases[following + 1 :]):
        names = _names(phase.open_tasks)
        yield f"“{phase.title}” (line {phase.line}) still has open tasks ({names}) although a later phase was begun"
    by_hand = [task for task in phase.open_tasks if task.is_by_hand]
    if by_hand:
        yield f"the next phase has what may need a person: {_names(by_hand)}"


def _tasks(phases: Sequence[PlanPhase]) -> Iterator[PlanTask]:
    return (task for phase in phases for task in phase.tasks)


def _hidden_counts(hidden: Sequence[HiddenBox]) -> Iterator[str]:
    for kind, count in Counter(box.kind for box in hidden).items():
        yield f"{count} in {kind}" if kind is LineKind.CODE else f"{count} in a {kind}"


def _counted(count: int, one: str, many: str) -> list[str]:
    return [f"{count} {one if count == 1 else many}"] if count else []


def _count(things: Sequence[object] | set[int], noun: str) -> str:
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 'es' if noun.endswith('x') else 's'}"


def _names(tasks: Sequence[PlanTask]) -> str:
    return _cut([task.name for task in tasks])


def _lines(numbers: Iterable[int]) -> str:
    listed = [str(number) for number in numbers]
    return ("line " if len(listed) == 1 else "lines ") + _cut(listed)


def _cut(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
