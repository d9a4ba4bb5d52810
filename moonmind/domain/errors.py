"""Raise expected failures with a stable code, what happened, and what to do next."""

from collections.abc import Mapping

from moonmind.domain.failures import CATALOGUE, Failure, FailureCode


class WorkflowError(Exception):
    """
    An expected failure: its text is safe to show to an operator.

    `detail` says what happened in this case; cause, remedy and resume stage come from
    the catalogue. `facts` are extra JSON members of the problem (such as `runId`) and
    fill the placeholders of the remedy.
    """

    def __init__(self, code: FailureCode, detail: str, **facts: object) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts: Mapping[str, object] = facts

    @property
    def failure(self) -> Failure:
        """The catalogue's entry for this code."""
        return CATALOGUE[self.code]

    @property
    def remedy(self) -> str:
        """The next step, with the run's id filled in where it is known."""
        return self.failure.remedy_for(self.facts.get("runId"))

    def __str__(self) -> str:
        return f"{self.code}: {self.detail} {self.remedy}"


class StaleClaimError(Exception):
    """This worker no longer holds the stage; whatever it was about to do must not happen."""


class CancelRecordedError(Exception):
    """A cancel was recorded before the effect began, so the effect must not begin."""
