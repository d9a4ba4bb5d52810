"""Remember what was measured, so that tests can ask."""

from dataclasses import dataclass

from moonmind.domain.states import Stage


@dataclass(frozen=True)
class Measured:
    """One sample; `seconds` is set where a duration came with it."""

    name: str
    stage: Stage
    attempt: int
    status: str = ""
    seconds: float | None = None


class RecordedMetrics:
    """Metrics that stay in memory, in order."""

    def __init__(self) -> None:
        self.measured: list[Measured] = []
        self.refused: list[str] = []

    def stage_started(self, stage: Stage, attempt: int) -> None:
        """Remember a start."""
        self.measured.append(Measured("started", stage, attempt))

    def stage_ended(self, stage: Stage, attempt: int, *, status: str, seconds: float) -> None:
        """Remember an end and its duration."""
        self.measured.append(Measured("ended", stage, attempt, status, seconds))

    def stage_retried(self, stage: Stage, attempt: int) -> None:
        """Remember a retry."""
        self.measured.append(Measured("retried", stage, attempt))

    def message_refused(self, reason: str) -> None:
        """Remember why a message was refused."""
        self.refused.append(reason)

    def named(self, name: str) -> list[Measured]:
        """Return the samples of one name: `started`, `ended` or `retried`."""
        return [sample for sample in self.measured if sample.name == name]
