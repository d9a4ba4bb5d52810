"""Hold what was read from a tasks.md: its phases, its tasks, and which of them come next."""

import re
from dataclasses import dataclass
from enum import StrEnum

from moonmind.domain.plan_lines import TaskState
from moonmind.domain.results import PhaseRef, TaskRef

_PARALLEL = re.compile(r"\[P\]")
_STORY = re.compile(r"\[(?:Story:?[ \t]*)?(US[ \t-]?[A-Z]?-?\d{1,3})\b[^\[\]]{0,40}\]", re.IGNORECASE)
_LABELS_SPAN = 120
_BY_HAND = re.compile(
    r"\b(?:manual(?:ly)?|by hand|merge (?:the )?(?:pr|pull request|branch)"
    r"|post-merge|sign-?off|user acceptance|deploy to (?:prod|production|staging))\b",
    re.IGNORECASE,
)
_BY_HAND_SPAN = 400


class PlanStatus(StrEnum):
    """What a task list asks for; `unreadable` is a fault of the file and never means "no work"."""

    WORK = "work"
    NO_WORK = "no_work"
    HELD = "held"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class PlanTask:
    """
    One task. Its id may be missing or doubled, so (id, line) identifies it.

    `text` is the description behind the id, labels included. `section` is the line of the
    sub-heading that it stands under.
    """

    line: int
    text: str
    state: TaskState
    section: int
    id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_parallel(self) -> bool:
        """True with the [P] label: in any order within its phase, but in the same submission."""
        return _PARALLEL.search(self.text, 0, _LABELS_SPAN) is not None

    @property
    def story(self) -> str | None:
        """The user story that a label names, such as US1."""
        found = _STORY.search(self.text, 0, _LABELS_SPAN)
        return found.group(1).upper() if found else None

    @property
    def is_by_hand(self) -> bool:
        """True for what an agent can hardly do, such as merging a pull request."""
        return _BY_HAND.search(self.text, 0, _BY_HAND_SPAN) is not None

    @property
    def ref(self) -> TaskRef:
        """The task as the stages hand it on."""
        return TaskRef(line=self.line, text=self.text, id=self.id, notes=self.notes)

    @property
    def name(self) -> str:
        """How to call it in a message: its id, else its line."""
        return self.id or f"line {self.line}"


@dataclass(frozen=True)
class PlanPhase:
    """A section that holds tasks; its heading line is its key, since titles may repeat."""

    title: str
    line: int
    tasks: tuple[PlanTask, ...]
    number: str | None = None
    """As written (`3`, `3.1`, `2a`); only for display and selection, never for order."""

    @property
    def ref(self) -> PhaseRef:
        """The phase as the stages hand it on."""
        return PhaseRef(title=self.title, line=self.line)

    @property
    def open_tasks(self) -> tuple[PlanTask, ...]:
        """The tasks that can be submitted, in file order."""
        return tuple(task for task in self.tasks if task.state is TaskState.OPEN)

    @property
    def finished_tasks(self) -> tuple[PlanTask, ...]:
        """The tasks that are done: context for the open ones."""
        return tuple(task for task in self.tasks if task.state is TaskState.DONE)


@dataclass(frozen=True)
class Plan:
    """A whole task list; `reason` says what is wrong with an unreadable one."""

    status: PlanStatus
    phases: tuple[PlanPhase, ...] = ()
    warnings: tuple[str, ...] = ()
    reason: str = ""

    @property
    def tasks(self) -> tuple[PlanTask, ...]:
        """All tasks in file order."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    @property
    def tasks_total(self) -> int:
        """How many tasks there are."""
        return sum(len(phase.tasks) for phase in self.phases)

    @property
    def tasks_done(self) -> int:
        """How many are ticked."""
        return sum(len(phase.finished_tasks) for phase in self.phases)

    @property
    def tasks_other(self) -> int:
        """How many have another mark, and so are neither done nor submitted."""
        return sum(task.state in (TaskState.CANCELLED, TaskState.OTHER) for task in self.tasks)

    @property
    def next_phase(self) -> PlanPhase | None:
        """The first phase in file order that has an open task; None unless there is work."""
        if self.status is not PlanStatus.WORK:
            return None
        return next(phase for phase in self.phases if phase.open_tasks)
