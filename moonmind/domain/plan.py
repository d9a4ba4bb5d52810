"""Read a tasks.md: which phases it has, what is open in them, and which phase comes next."""

from collections.abc import Sequence

from moonmind.domain.errors import WorkflowError
from moonmind.domain.plan_choice import next_slice, select_phase, select_tasks
from moonmind.domain.plan_lines import Box, Outline, TaskState, read_outline
from moonmind.domain.plan_model import Plan, PlanPhase, PlanStatus, PlanTask
from moonmind.domain.plan_phases import Sections, find_sections, phase_number
from moonmind.domain.plan_text import decode_plan
from moonmind.domain.plan_warnings import doubts, no_task_reason, warnings_about

__all__ = [
    "Plan",
    "PlanPhase",
    "PlanStatus",
    "PlanTask",
    "TaskState",
    "next_slice",
    "plan_report",
    "read_plan",
    "select_phase",
    "select_tasks",
]


def read_plan(content: bytes) -> Plan:
    """
    Read any bytes; what is no task list comes back as `unreadable` with its reason.

    The cost grows with the size alone, and what is larger than a task list can be is not read.
    """
    try:
        text = decode_plan(content)
    except WorkflowError as error:
        return Plan(PlanStatus.UNREADABLE, reason=error.detail)
    outline = read_outline(text)
    sections = find_sections(outline)
    phases = _phases(outline, sections)
    if not phases:
        return Plan(PlanStatus.UNREADABLE, reason=no_task_reason(outline, sections))
    states = {task.state for phase in phases for task in phase.tasks}
    status = PlanStatus.NO_WORK
    if TaskState.OPEN in states:
        status = PlanStatus.WORK
    elif TaskState.OTHER in states:
        status = PlanStatus.HELD
    warnings = warnings_about(outline, sections, phases)
    reason = doubts(outline, sections, has_work=status is PlanStatus.WORK)
    if reason:
        return Plan(PlanStatus.UNREADABLE, phases=phases, warnings=warnings, reason=reason)
    return Plan(status, phases=phases, warnings=warnings)


def plan_report(plan: Plan) -> dict[str, object]:
    """Give the plan as the JSON document of `moonmind tasks --json`; an unreadable one leads with its reason."""
    following = plan.next_phase
    return {
        "status": plan.status.value,
        "tasks_total": plan.tasks_total,
        "tasks_done": plan.tasks_done,
        "tasks_other": plan.tasks_other,
        "phases": [
            {
                "title": phase.title,
                "line": phase.line,
                "total": len(phase.tasks),
                "done": len(phase.finished_tasks),
                "open": len(phase.open_tasks),
            }
            for phase in plan.phases
        ],
        "next_phase": following
        and {
            "title": following.title,
            "line": following.line,
            "open_ids": [task.id for task in following.open_tasks if task.id is not None],
            "open_lines": [task.line for task in following.open_tasks],
        },
        "warnings": [*([plan.reason] if plan.reason else []), *plan.warnings],
    }


def _phases(outline: Outline, sections: Sections) -> tuple[PlanPhase, ...]:
    notes = _notes(outline.boxes, {box.line for section in sections.found for box, _ in section.boxes})
    return tuple(
        PlanPhase(
            title=section.heading.title,
            line=section.heading.line,
            number=phase_number(section.heading.title),
            tasks=tuple(
                _task(outline, box, section.sub_heading_line(path), notes.get(box.line, ()), has_id=sections.has_ids)
                for box, path in section.boxes
            ),
        )
        for section in sections.found
    )


def _task(outline: Outline, box: Box, section: int, notes: Sequence[int], *, has_id: bool) -> PlanTask:
    # Where no box has an id, what looks like one ("P95 latency") belongs to the description.
    text = box.label.text if has_id else box.content
    return PlanTask(
        line=box.line,
        text=text,
        state=box.state,
        section=section,
        id=box.label.id if has_id else None,
        notes=tuple(outline.text.line(line).strip() for line in notes),
    )


def _notes(boxes: Sequence[Box], task_lines: set[int]) -> dict[int, list[int]]:
    """Give each task the lines below it, those of the checkboxes below it included, but of no other task."""
    owner_of: dict[int, int | None] = {}
    notes: dict[int, list[int]] = {}
    for box in boxes:
        owner = box.line if box.line in task_lines else (owner_of.get(box.parent.line) if box.parent else None)
        owner_of[box.line] = owner
        if owner is not None:
            notes.setdefault(owner, []).extend(line for line in box.note_lines if line not in task_lines)
    return {line: sorted(lines) for line, lines in notes.items()}
