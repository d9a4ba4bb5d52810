"""Say how a stage ended: done, parked until later, or with the end of its run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from moonmind.domain.failures import FailureCode
from moonmind.domain.results import StageResult
from moonmind.domain.states import RunOutcome, RunStatus


@dataclass(frozen=True)
class Done:
    """The stage did its work; the chain goes on."""

    result: StageResult


@dataclass(frozen=True)
class Parked:
    """
    The stage has to wait for something outside; it holds no slot meanwhile.

    A duration, never a time of day: only the database knows what time it is.
    """

    after: timedelta
    reason: str
    waiting_for: str = "agent"


@dataclass(frozen=True)
class Ended:
    """The stage ends the whole run, well (`no_work`) or not (`failed`)."""

    status: RunStatus
    message: str
    code: FailureCode | None = None
    outcome: RunOutcome | None = None
    pull_request_url: str | None = None
    pull_request_number: int | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def failed(cls, code: FailureCode, message: str, **facts: object) -> "Ended":
        """End the run as failed with a code of the catalogue."""
        return cls(RunStatus.FAILED, message, code=code, facts=facts)


Outcome = Done | Parked | Ended
