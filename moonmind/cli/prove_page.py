"""Show the outcome of a proof: as a table with its legend, or as one document."""

from collections.abc import Iterator, Mapping, Sequence

from moonmind.prove.faults import FaultKind
from moonmind.prove.outcome import LEGEND, Outcome, percentile

_MOST_ENTRIES = 20


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """Yield the table, what was found in detail, and what the words mean."""
    rows = list(_rows(outcome))
    width = max(len(name) for name, _ in rows)
    yield from (f"{name:<{width}}  {value}" for name, value in rows)
    for name, entries in _found(outcome).items():
        yield from _entries(name, entries)
    yield ""
    yield from (f"{word}: {meaning}" for word, meaning in LEGEND.items())


def outcome_document(outcome: Outcome) -> Mapping[str, object]:
    """Return the outcome for a script."""
    return {
        "stack": outcome.stack.value,
        "seed": outcome.seed,
        "holds": outcome.holds,
        "runs": outcome.findings.runs,
        "endings": dict(outcome.findings.endings),
        "faults": len(outcome.faults),
        "faultsAsked": outcome.asked_faults,
        "faultsByKind": dict(outcome.by_kind),
        "faultsByStage": {stage.value: hit for stage, hit in outcome.by_stage.items()},
        "lost": list(outcome.findings.lost),
        "duplicatePullRequests": list(outcome.findings.duplicate_pull_requests),
        "duplicateSubmissions": list(outcome.findings.duplicate_submissions),
        "staleWritesAccepted": list(outcome.findings.stale_writes),
        "agentsStartedAgain": _started_again(outcome),
        "ordersRepeated": outcome.repeated_orders,
        "recoverySeconds": {"p50": percentile(outcome.recoveries, 50), "p99": percentile(outcome.recoveries, 99)},
        "slowest": [{"kind": fault.kind.name, "seconds": fault.recovery} for fault in outcome.slowest],
        "endedByThemselves": {name: list(statuses) for name, statuses in outcome.ended_by_themselves.items()},
        "shortfalls": list(outcome.shortfalls),
        "missed": list(outcome.missed),
        "seconds": round(outcome.seconds, 1),
        "legend": dict(LEGEND),
    }


def kind_lines(kinds: Sequence[FaultKind]) -> Iterator[str]:
    """Yield one line for each kind of fault."""
    width = max(len(kind.name) for kind in kinds)
    yield from (f"{kind.name:<{width}}  {kind.story}" for kind in kinds)


def _rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    findings = outcome.findings
    yield "stack", outcome.stack.value
    yield "seed", str(outcome.seed)
    yield "runs", f"{findings.runs} ({_counted(findings.endings)})"
    yield "faults", f"{len(outcome.faults)} of {len(outcome.by_kind)} kinds"
    yield "faults by stage", _counted({stage.value: hit for stage, hit in outcome.by_stage.items()})
    yield "faults by kind", _counted(outcome.by_kind)
    yield "lost", str(len(findings.lost))
    yield "duplicate pull requests", str(len(findings.duplicate_pull_requests))
    yield "duplicate submissions", str(len(findings.duplicate_submissions))
    yield "stale writes accepted", str(len(findings.stale_writes))
    yield "agents started again", str(_started_again(outcome))
    yield "orders repeated", str(outcome.repeated_orders)
    yield "recovery p50 / p99", " / ".join(_seconds(percentile(outcome.recoveries, percent)) for percent in (50, 99))
    yield "slowest", ", ".join(f"{fault.kind.name} {_seconds(fault.recovery)}" for fault in outcome.slowest)
    yield "took", f"{outcome.seconds:.0f} s"
    yield "result", "holds" if outcome.holds else "does not hold"


def _found(outcome: Outcome) -> Mapping[str, Sequence[str]]:
    findings = outcome.findings
    ended = [f"{name}: exit statuses {list(statuses)}" for name, statuses in outcome.ended_by_themselves.items()]
    return {
        "lost": findings.lost,
        "duplicate pull requests": findings.duplicate_pull_requests,
        "duplicate submissions": findings.duplicate_submissions,
        "stale writes accepted": findings.stale_writes,
        "not complete": outcome.shortfalls,
        "missed": outcome.missed,
        "ended without being asked to, and were started again": ended,
    }


def _entries(name: str, entries: Sequence[str]) -> Iterator[str]:
    if entries:
        yield ""
        yield f"{name}:"
        yield from (f"  {entry}" for entry in entries[:_MOST_ENTRIES])
    if len(entries) > _MOST_ENTRIES:
        yield f"  and {len(entries) - _MOST_ENTRIES} more"


def _started_again(outcome: Outcome) -> int:
    return outcome.findings.submissions - outcome.findings.runs


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
