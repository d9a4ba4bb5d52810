"""Decide which checkboxes are tasks, and which section each of them belongs to."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from moonmind.domain.plan_ids import IdShape, accepted_prefixes
from moonmind.domain.plan_lines import BOLD_LEVEL, Box, Heading, Outline

# "Phase 3.1", "Phase 2a", "Phase N", "Phase: …", "Final Phase", "Fase 2", "Этап 1", "階段 1", "第二.五階段".
_PHASE = re.compile(
    r"[\W_]{0,16}(?:"
    r"(?:phase|fase|faza|etapa|étape|этап|фаза|フェーズ|阶段|階段|단계)"
    r"(?:[ \t]*[-#№:.]?[ \t]*(?P<number>\d{1,4}(?:\.\d{1,4}){0,3}[a-z]?(?![a-z0-9]))"
    r"|[ \t]+(?P<letter>(?-i:[IVX]{1,4}|[A-Z]))(?![^\W_])|[ \t]*[:：])"
    r"|(?:final|last)[ \t]+phase\b"
    r"|第[ \t]*(?P<ordinal>[0-9０-９一二三四五六七八九十百零〇.．]{1,8})[ \t]*(?:階段|阶段|フェーズ|단계)"
    r")",
    re.IGNORECASE,
)
_CHECKPOINT = re.compile(r"checkpoint|檢查點|检查点", re.IGNORECASE)
# Outside phases these letters stand for checks, criteria, rollbacks and follow-ups, not for tasks.
_NO_WORK_PREFIXES = frozenset({"AC", "CHK", "FR", "FU", "NFR", "R", "SC", "US", "VC"})
_MIN_FAMILY = 3
NO_HEADING_TITLE = "Tasks"

Path = tuple[Heading, ...]


@dataclass
class Section:
    """A phase in the making: its heading and the boxes below it."""

    heading: Heading
    boxes: list[tuple[Box, Path]] = field(default_factory=list)

    def sub_heading_line(self, path: Path) -> int:
        """Return the line of the first heading below this one, else of this one itself."""
        deeper = (heading.line for heading in path if heading.line > self.heading.line)
        return next(deeper, self.heading.line)


@dataclass
class Sections:
    """The sections that hold tasks in file order, and what was left aside."""

    found: list[Section] = field(default_factory=list)
    outside: list[Box] = field(default_factory=list)
    """Boxes outside the phases: they repeat a phase's id, or are checks of their own."""
    without_id: list[Box] = field(default_factory=list)
    """Top-level boxes without an id inside a phase of a file that uses ids."""
    has_ids: bool = False


def phase_number(title: str) -> str | None:
    """Return the number in a phase's title as it is written there."""
    found = _PHASE.match(title)
    if found is None:
        return None
    number: str | None = found.group("number") or found.group("letter") or found.group("ordinal")
    return number


def find_sections(outline: Outline) -> Sections:
    """Group the tasks by phase; without phases, by the sections that hold them."""
    prefixes = accepted_prefixes(box.label for box in outline.boxes)
    has_ids = bool(prefixes)
    placed = _with_paths(outline)
    tasks = [(box, path) for box, path in placed if _is_task(box, prefixes, has_ids=has_ids)]
    level = _phase_level(outline.headings, (path for _, path in tasks))
    sections = Sections(has_ids=has_ids)
    if level is None:
        chosen = _in_plain_sections(tasks, sections)
    else:
        chosen = list(_in_or_beside_phases(tasks, level, sections))
    by_line: dict[int, Section] = {}
    for box, path, heading in chosen:
        by_line.setdefault(heading.line, Section(heading)).boxes.append((box, path))
    sections.found = list(by_line.values())
    if has_ids:
        _set_aside(placed, {box.line for box, _ in tasks}, by_line, sections)
    return sections


def _set_aside(
    placed: Sequence[tuple[Box, Path]], task_lines: Container[int], phase_lines: Container[int], sections: Sections
) -> None:
    """Remember the top-level boxes without an id, so that a warning can name those that are open."""
    for box, path in placed:
        if box.parent is None and box.line not in task_lines:
            is_inside = any(heading.line in phase_lines for heading in path)
            (sections.without_id if is_inside else sections.outside).append(box)


def _with_paths(outline: Outline) -> list[tuple[Box, Path]]:
    """Give each box the headings that it stands under, outermost first."""
    placed = []
    path: Path = ()
    headings = iter(outline.headings)
    heading = next(headings, None)
    for box in outline.boxes:
        while heading is not None and heading.line < box.line:
            if heading.is_firm or _is_phase(heading):
                level = heading.level
                path = (*(outer for outer in path if outer.level < level), heading)
            heading = next(headings, None)
        placed.append((box, path))
    return placed


def _is_task(box: Box, prefixes: Mapping[IdShape, frozenset[str]], *, has_ids: bool) -> bool:
    if has_ids:
        shape = box.label.shape
        return shape is not None and box.label.prefix in prefixes.get(shape, ())
    # A box below a box is an acceptance note, not a task of its own.
    return box.parent is None


def _is_phase(heading: Heading) -> bool:
    if heading.level == BOLD_LEVEL and _CHECKPOINT.search(heading.title):
        return False
    return _PHASE.match(heading.title) is not None


def _phase_level(headings: Sequence[Heading], paths: Iterable[Path]) -> int | None:
    """Return the shallowest level of phase headings that holds tasks; deeper ones are sub-headings."""
    # "# Phase 1 Tasks: …" as the only one of its kind is the title of the document.
    top_phases = sum(heading.level == 1 and _is_phase(heading) for heading in headings)
    smallest = 1 if top_phases > 1 else 2
    levels = {heading.level for path in paths for heading in path if heading.level >= smallest and _is_phase(heading)}
    return min(levels, default=None)


def _in_or_beside_phases(
    tasks: Sequence[tuple[Box, Path]], level: int, sections: Sections
) -> Iterable[tuple[Box, Path, Heading]]:
    """Give each task its phase; what stands outside counts if it is new and of the same family."""
    phase_of = {
        box.line: next((heading for heading in path if heading.level == level and _is_phase(heading)), None)
        for box, path in tasks
    }
    inside = [box for box, _ in tasks if phase_of[box.line] is not None]
    families = {box.label.prefix for box in inside}
    seen = {box.label.key for box in inside}
    for box, path in tasks:
        phase = phase_of[box.line]
        if phase is not None:
            yield box, path, phase
        elif sections.has_ids and box.label.prefix in families and box.label.key not in seen:
            seen.add(box.label.key)
            lesser_phase = (heading for heading in path if heading.level > level and _is_phase(heading))
            yield box, path, next(lesser_phase, _section_heading(path, level))
        else:
            sections.outside.append(box)


def _in_plain_sections(tasks: Sequence[tuple[Box, Path]], sections: Sections) -> list[tuple[Box, Path, Heading]]:
    """Without phases, take the sections as they are, but not the checks and follow-ups beside the real tasks."""
    sizes = Counter(box.label.prefix for box, _ in tasks)
    main = set(sizes)
    if sections.has_ids and len(sizes) > 1:
        largest = sizes.most_common(1)[0][0]
        families = {prefix for prefix, size in sizes.items() if size >= _MIN_FAMILY}
        main = {largest} | (families - _NO_WORK_PREFIXES)
    level = _section_level([path for box, path in tasks if box.label.prefix in main])
    sections.outside.extend(box for box, _ in tasks if box.label.prefix not in main)
    return [(box, path, _section_heading(path, level)) for box, path in tasks if box.label.prefix in main]


def _section_level(paths: Iterable[Path]) -> int:
    """Return the shallowest level at which the tasks lie under more than one heading."""
    holders: dict[int, set[int]] = {}
    for path in paths:
        for heading in path:
            if heading.level > 1:
                holders.setdefault(heading.level, set()).add(heading.line)
    several = [level for level, lines in holders.items() if len(lines) > 1]
    return min(several or holders, default=BOLD_LEVEL)


def _section_heading(path: Path, level: int) -> Heading:
    """Return the nearest heading above that is not deeper than a level."""
    for heading in reversed(path):
        if heading.level <= level:
            return heading
    return path[0] if path else Heading(line=1, level=1, title=NO_HEADING_TITLE)
