"""Choose the phase and the tasks of one submission, as the operator asked or as the plan says."""

from collections.abc import Collection, Sequence
from itertools import groupby

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.plan_lines import TaskState
from moonmind.domain.plan_model import Plan, PlanPhase, PlanTask

DEFAULT_MAX_TASKS = 25
_MAX_LISTED = 20
_MAX_QUOTED = 80


def select_phase(plan: Plan, selector: str) -> PlanPhase:
    """
    Find a phase by its title, its number or its heading line, in this order.

    Raises `WorkflowError` (`phase_not_found`), with the phases there are, when none or more
    than one fits.
    """
    wanted = " ".join(selector.lstrip("# \t").split()).casefold()
    ways = (
        [phase for phase in plan.phases if _title(phase) == wanted],
        [phase for phase in plan.phases if phase.number and wanted in (phase.number.casefold(), _numbered(phase))],
        [phase for phase in plan.phases if wanted.removeprefix("line ") == str(phase.line)],
    )
    matches = next((found for found in ways if found), [])
    if len(matches) == 1:
        return matches[0]
    what = "is not there" if not matches else "fits more than one; select it by its heading line"
    listed = "; ".join(f"line {phase.line}: {phase.title}" for phase in (matches or plan.phases)[:_MAX_LISTED])
    detail = f"The phase “{selector[:_MAX_QUOTED]}” {what}. The phases are: {listed or 'none'}."
    raise WorkflowError(FailureCode.PHASE_NOT_FOUND, detail)


def select_tasks(phase: PlanPhase, ids: Sequence[str]) -> tuple[PlanTask, ...]:
    """
    Take the open tasks with these ids (or line numbers, for tasks without one), in file order.

    Raises `WorkflowError` (`task_not_open`) that says of each other one why it cannot be taken.
    """
    chosen: set[int] = set()
    refused = []
    for name in dict.fromkeys(ids):
        named = [task for task in phase.tasks if _is_called(task, name)]
        still_open = [task.line for task in named if task.state is TaskState.OPEN]
        chosen.update(still_open)
        if not still_open:
            why = f"is {named[0].state} (line {named[0].line})" if named else "is not in this phase"
            refused.append(f"{name[:_MAX_QUOTED]} {why}")
    if refused:
        still_open_names = ", ".join(task.name for task in phase.open_tasks[:_MAX_LISTED]) or "none"
        detail = f"In “{phase.title}”: {'; '.join(refused[:_MAX_LISTED])}. Open are: {still_open_names}."
        raise WorkflowError(FailureCode.TASK_NOT_OPEN, detail)
    return tuple(task for task in phase.tasks if task.line in chosen)


def next_slice(phase: PlanPhase, max_tasks: int = DEFAULT_MAX_TASKS) -> tuple[PlanTask, ...]:
    """
    Take the open tasks to submit together: all of them, or as many whole sub-sections as fit.

    A first sub-section that is larger than the limit is cut at the limit.
    """
    if max_tasks < 1:
        message = f"at least one task must fit, not {max_tasks}"
        raise ValueError(message)
    tasks = phase.open_tasks
    if len(tasks) <= max_tasks:
        return tasks
    taken: list[PlanTask] = []
    for _, section in groupby(tasks, key=lambda task: task.section):
        members = list(section)
        if len(taken) + len(members) > max_tasks:
            return tuple(taken or members[:max_tasks])
        taken.extend(members)
    return tuple(taken)


def _title(phase: PlanPhase) -> str:
    return " ".join(phase.title.split()).casefold()


def _numbered(phase: PlanPhase) -> str:
    return f"phase {phase.number}".casefold()


def _is_called(task: PlanTask, name: str) -> bool:
    names: Collection[str] = (task.id or "", str(task.line), f"line {task.line}")
    return name.strip().casefold() in {known.casefold() for known in names if known}
