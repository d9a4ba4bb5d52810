"""Say what a proof found, in numbers that a person can check against the forge and the database."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from moonmind.domain.states import STAGES, Stage
from moonmind.prove.faults import FaultKind, StackName, least_at_each_stage
from moonmind.prove.ledger import Live

_SLOWEST = 5


@dataclass(frozen=True)
class Fault:
    """One fault that hit a live run; `recovery` is None when nothing of that run moved afterwards."""

    kind: FaultKind
    live: Live
    recovery: float | None = None


@dataclass(frozen=True)
class Findings:
    """
    What forge, remote and database show after the last run.

    Each entry names its run. What counts is told by `LEGEND`, which is printed with the table.
    """

    runs: int
    endings: Mapping[str, int]
    lost: Sequence[str] = ()
    duplicate_pull_requests: Sequence[str] = ()
    duplicate_submissions: Sequence[str] = ()
    stale_writes: Sequence[str] = ()
    submissions: int = 0


LEGEND: Mapping[str, str] = {
    "runs": "Accepted orders, each for a feature of its own.",
    "faults": "Faults that hit: at that moment the database showed a run with a live lease at the named stage, or, "
    "for faults without a stage, some live run. Others are not counted.",
    "lost": "Accepted orders without a run in the database, runs that did not end, and runs that ended in any other "
    "way than with their pull request on the forge.",
    "duplicate pull requests": "Pull requests of one run beyond its first, and branches that belong to no run.",
    "duplicate submissions": "Two agents of one run alive at once, or a landed result that is not the one of the run's "
    "last submission. An agent that was killed with its worker runs again from the base commit: that is meant to be, "
    "counted as `agents started again`, and leaves nothing behind.",
    "stale writes accepted": "Completions, artifacts or commits of a claim that had a successor: a stage that "
    "succeeded without running last, an artifact of another token than the stage's last, a second commit on a branch.",
    "recovery": "Seconds by the database's clock from a fault to the next step of the run that it hit. The lease is "
    "4 s, and a pause lasts longer than that.",
}


@dataclass(frozen=True)
class Outcome:
    """All of one proof: what was asked for, what was done, what was found."""

    stack: StackName
    seed: int
    asked_runs: int
    asked_faults: int
    faults: Sequence[Fault]
    findings: Findings
    seconds: float
    repeated_orders: int = 0
    missed: Sequence[str] = ()
    ended_by_themselves: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def recoveries(self) -> Sequence[float]:
        """All recovery times in seconds, the shortest first."""
        return sorted(fault.recovery for fault in self.faults if fault.recovery is not None)

    @property
    def slowest(self) -> Sequence[Fault]:
        """The faults whose runs took longest to go on."""
        measured = [fault for fault in self.faults if fault.recovery is not None]
        return sorted(measured, key=lambda fault: -(fault.recovery or 0.0))[:_SLOWEST]

    @property
    def by_kind(self) -> Mapping[str, int]:
        """How often each kind hit."""
        return dict(sorted(Counter(fault.kind.name for fault in self.faults).items()))

    @property
    def by_stage(self) -> Mapping[Stage, int]:
        """How many faults hit each stage."""
        hit = Counter(fault.live.stage for fault in self.faults)
        return {stage: hit[stage] for stage in STAGES}

    @property
    def shortfalls(self) -> Sequence[str]:
        """Why this proof says less than was asked for; empty when it is complete."""
        least = least_at_each_stage(self.asked_faults)
        found: list[str] = []
        if self.findings.runs < self.asked_runs:
            found.append(f"only {self.findings.runs} of {self.asked_runs} runs were accepted")
        if len(self.faults) < self.asked_faults:
            found.append(f"only {len(self.faults)} of {self.asked_faults} faults hit a live run")
        found += [f"only {hit} faults hit {stage}" for stage, hit in self.by_stage.items() if hit < least]
        return found

    @property
    def holds(self) -> bool:
        """True when nothing was lost or doubled and the proof is complete."""
        findings = self.findings
        wrong = (
            findings.lost,
            findings.duplicate_pull_requests,
            findings.duplicate_submissions,
            findings.stale_writes,
            self.shortfalls,
        )
        return not any(wrong)


def percentile(sorted_values: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that at least so many percent do not exceed; None without values."""
    if not sorted_values:
        return None
    return sorted_values[max(0, ceil(len(sorted_values) * percent / 100) - 1)]
