"""Name the states of runs and stages and the only legal ways between them."""

from collections.abc import Mapping
from enum import StrEnum


class Stage(StrEnum):
    """One link of the chain; the members stand in the order in which they run."""

    DISCOVER = "discover"
    SUBMIT = "submit"
    APPLY = "apply"
    PUBLISH = "publish"
    FINALIZE = "finalize"

    @property
    def earlier(self) -> tuple["Stage", ...]:
        """The stages that must have succeeded before this one may start."""
        return STAGES[: STAGES.index(self)]

    @property
    def onward(self) -> tuple["Stage", ...]:
        """This stage and all that follow: the chain that remains to be sent."""
        return STAGES[STAGES.index(self) :]


STAGES: tuple[Stage, ...] = tuple(Stage)


class StageStatus(StrEnum):
    """Status of one attempt at a stage; `waiting` holds no worker slot."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_finished(self) -> bool:
        """True when this attempt never changes again."""
        return not STAGE_TRANSITIONS[self]


class RunStatus(StrEnum):
    """Status of a whole run."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NO_WORK = "no_work"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        """True while the run may still start a stage."""
        return self in ACTIVE_RUN_STATUSES


ACTIVE_RUN_STATUSES = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.RETRYING})

RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.FAILED}),
    RunStatus.RUNNING: frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.NO_WORK, RunStatus.CANCELLED}),
    RunStatus.RETRYING: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.FAILED: frozenset({RunStatus.RETRYING}),
    RunStatus.CANCELLED: frozenset({RunStatus.RETRYING}),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.NO_WORK: frozenset(),
}

STAGE_TRANSITIONS: Mapping[StageStatus, frozenset[StageStatus]] = {
    StageStatus.QUEUED: frozenset({StageStatus.RUNNING, StageStatus.WAITING, StageStatus.SKIPPED}),
    StageStatus.RUNNING: frozenset(
        {StageStatus.SUCCEEDED, StageStatus.FAILED, StageStatus.WAITING, StageStatus.QUEUED}
    ),
    StageStatus.WAITING: frozenset({StageStatus.QUEUED, StageStatus.SKIPPED}),
    StageStatus.SUCCEEDED: frozenset(),
    StageStatus.FAILED: frozenset(),
    StageStatus.SKIPPED: frozenset(),
}


class RunPhase(StrEnum):
    """How far a run came: the stage it reached, or `complete`."""

    DISCOVER = "discover"
    SUBMIT = "submit"
    APPLY = "apply"
    PUBLISH = "publish"
    FINALIZE = "finalize"
    COMPLETE = "complete"


class RunOutcome(StrEnum):
    """Why a run ended well: what it left on the forge, or why there was nothing to do."""

    PULL_REQUEST_CREATED = "pull_request_created"
    PULL_REQUEST_UPDATED = "pull_request_updated"
    PULL_REQUEST_MERGED = "pull_request_merged"
    ALL_DONE = "all_done"
    HELD = "held"
    PHASE_IN_FLIGHT = "phase_in_flight"


class RetryMode(StrEnum):
    """How a retry goes on: where the failure calls for, or from the start with a new base."""

    RESUME = "resume_failed_task"
    RESTART = "restart_from_discovery"


class AuditStatus(StrEnum):
    """Verdict of one credential check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class IllegalTransitionError(Exception):
    """A state was asked to go where no rule leads; always a bug, never bad input."""


def check_run_transition(current: RunStatus, wanted: RunStatus) -> None:
    """Raise `IllegalTransitionError` unless a run may go from `current` to `wanted`."""
    if wanted not in RUN_TRANSITIONS[current]:
        message = f"a run cannot go from {current} to {wanted}"
        raise IllegalTransitionError(message)


def check_stage_transition(current: StageStatus, wanted: StageStatus) -> None:
    """Raise `IllegalTransitionError` unless a stage may go from `current` to `wanted`."""
    if wanted not in STAGE_TRANSITIONS[current]:
        message = f"a stage cannot go from {current} to {wanted}"
        raise IllegalTransitionError(message)
