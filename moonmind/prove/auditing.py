"""Check the outcome of a proof against the forge, the stand-in remote and the database."""

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from api_service.db.session import Database
from moonmind.domain.states import RunStatus, Stage, StageStatus
from moonmind.prove.features import feature_of
from moonmind.prove.folder import ProofFolder
from moonmind.prove.forge_evidence import Evidence, evidence_of, stray_branches
from moonmind.prove.outcome import Fault, Findings
from moonmind.prove.tables import ARTIFACTS, EVENTS, PUSHED, RUNS, STAGES

_ARTIFACT_OF_CLAIM = re.compile(r"/a(?P<attempt>\d+)-(?P<stage>[a-z]+)-t(?P<token>\d+)/")
_MOVED = (StageStatus.RUNNING.value, StageStatus.SUCCEEDED.value, StageStatus.WAITING.value)
_ENDED = (RunStatus.SUCCEEDED.value, RunStatus.FAILED.value, RunStatus.CANCELLED.value, RunStatus.NO_WORK.value)


@dataclass(frozen=True)
class Submission:
    """One line of the stand-in remote's ledger."""

    number: int
    run: str
    marker: str
    overlaps: str | None


@dataclass(frozen=True)
class History:
    """Everything the database keeps of one run."""

    run: Row[Any]
    stages: Sequence[Row[Any]]
    events: Sequence[Row[Any]]
    artifacts: Sequence[str]
    commits: frozenset[str]


class Audit:
    """The three witnesses side by side; nothing runs any more when they are read."""

    def __init__(self, folder: ProofFolder, database: Database, orders: Mapping[int, UUID]) -> None:
        self._forge_root = folder.forge_root
        self._orders = {number: orders[number] for number in sorted(orders)}
        self._histories = _histories(database)
        self._submissions = _submissions(folder)

    def findings(self) -> Findings:
        """Return all that is wrong; every list is empty when the proof holds."""
        features = [feature_of(number) for number in self._orders]
        evidence = {run: evidence_of(self._forge_root, feature_of(number)) for number, run in self._orders.items()}
        stray = [f"stray branch {name}" for name in stray_branches(self._forge_root, features)]
        unordered = [f"run {run} was never ordered" for run in self._histories.keys() - set(self._orders.values())]
        return Findings(
            runs=len(self._orders),
            endings=dict(Counter(history.run.status for history in self._histories.values())),
            lost=[words for run in evidence for words in self._lost(run, evidence[run])],
            duplicate_pull_requests=[
                *(words for run in evidence for words in _duplicates(run, evidence[run])),
                *stray,
                *unordered,
            ],
            duplicate_submissions=[words for run in evidence for words in self._doubled(run, evidence[run])],
            stale_writes=[words for run in evidence for words in self._stale(run, evidence[run])],
            submissions=sum(map(len, self._submissions.values())),
        )

    def with_recoveries(self, faults: Sequence[Fault]) -> Sequence[Fault]:
        """Add to each fault how long its run took to make the next step."""
        return [replace(fault, recovery=self._recovery(fault)) for fault in faults]

    def _recovery(self, fault: Fault) -> float | None:
        history = self._histories.get(fault.live.run_id)
        events = history.events if history else ()
        steps = (
            event.at
            for event in events
            if event.at > fault.live.at and event.status in (_MOVED if event.type == "stage" else _ENDED)
        )
        first = next(steps, None)
        return None if first is None else float((first - fault.live.at).total_seconds())

    def _lost(self, run: UUID, evidence: Evidence) -> Iterator[str]:
        history = self._histories.get(run)
        if history is None:
            yield f"run {run} was accepted and is not in the database"
        elif history.run.status != RunStatus.SUCCEEDED:
            row = history.run
            yield f"run {run} is {row.status} ({row.failure_code}: {row.failure_message})"
        elif not evidence.pull_requests or not evidence.branches:
            yield f"run {run} succeeded without a branch and a pull request"

    def _doubled(self, run: UUID, evidence: Evidence) -> Iterator[str]:
        submissions = self._submissions.get(str(run), ())
        for submission in submissions:
            if submission.overlaps is not None:
                yield f"run {run}: {submission.marker} began while {submission.overlaps} was alive"
        last = submissions[-1] if submissions else None
        for branch in evidence.branches:
            if last is None or branch.submission != last.number:
                yield f"run {run}: submission {branch.submission} landed, the last one is {last}"
        accepted = self._accepted_marker(run)
        if accepted is not None and last is not None and accepted != last.marker:
            yield f"run {run}: {accepted} was accepted, the last one is {last.marker}"

    def _accepted_marker(self, run: UUID) -> str | None:
        history = self._histories.get(run)
        rows = history.stages if history else ()
        results = [row.result for row in rows if row.task_name == Stage.SUBMIT and row.result]
        return str(results[-1].get("marker")) if results else None

    def _stale(self, run: UUID, evidence: Evidence) -> Iterator[str]:
        history = self._histories.get(run)
        if history is None:
            return
        yield from _stale_steps(run, history)
        yield from _stale_artifacts(run, history)
        landed = {commit for branch in evidence.branches for commit in branch.commits}
        if len(history.commits | landed) > 1:
            yield f"run {run} has the commits {sorted(history.commits | landed)}"
        for branch in evidence.branches:
            if branch.beyond_base != 1:
                yield f"run {run}: {branch.name} has {branch.beyond_base} commits beyond its base"


def _duplicates(run: UUID, evidence: Evidence) -> Iterator[str]:
    for record in evidence.pull_requests[1:]:
        yield f"run {run} has also pull request #{record['number']}"
    for branch in evidence.branches[1:]:
        yield f"run {run} has also the branch {branch.name}"


def _stale_steps(run: UUID, history: History) -> Iterator[str]:
    """Yield stages whose events cannot come from one holder after the other."""
    for row in history.stages:
        of_row = [event for event in history.events if (event.stage, event.attempt) == (row.task_name, row.attempt)]
        before = None
        claims = 0
        for event in of_row:
            claims += int(event.status == StageStatus.RUNNING)
            if event.status == StageStatus.SUCCEEDED and before != StageStatus.RUNNING:
                yield f"run {run}: {row.task_name} succeeded after it was {before}"
            if before == StageStatus.SUCCEEDED:
                yield f"run {run}: {row.task_name} went on after it had succeeded"
            before = event.status
        if claims != row.token:
            yield f"run {run}: {row.task_name} was claimed {claims} times and has token {row.token}"


def _stale_artifacts(run: UUID, history: History) -> Iterator[str]:
    tokens = {(row.task_name, row.attempt): row.token for row in history.stages}
    for path in history.artifacts:
        # The summary is written when the run has ended, by whoever comes first, and not under a claim.
        claim = None if path.endswith("/run_summary.json") else _ARTIFACT_OF_CLAIM.search(path)
        if claim and int(claim["token"]) != tokens.get((claim["stage"], int(claim["attempt"]))):
            yield f"run {run}: {path} is of another claim than the stage's last"


def _histories(database: Database) -> Mapping[UUID, History]:
    with database.reading() as session:
        runs = session.execute(select(RUNS)).all()
        stages = _by_run(session.execute(select(STAGES).order_by(STAGES.c.attempt, STAGES.c.position)).all())
        events = _by_run(session.execute(select(EVENTS).order_by(EVENTS.c.seq)).all())
        artifacts = _by_run(session.execute(select(ARTIFACTS)).all())
        pushed = _by_run(session.execute(select(PUSHED)).all())
    return {
        run.id: History(
            run=run,
            stages=stages.get(run.id, ()),
            events=events.get(run.id, ()),
            artifacts=[row.path for row in artifacts.get(run.id, ())],
            commits=frozenset(row.commit_sha for row in pushed.get(run.id, ())),
        )
        for run in runs
    }


def _by_run(rows: Sequence[Row[Any]]) -> Mapping[UUID, Sequence[Row[Any]]]:
    found: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.run_id].append(row)
    return found


def _submissions(folder: ProofFolder) -> Mapping[str, Sequence[Submission]]:
    ledger = sqlite3.connect(folder.remote_ledger)
    rows = ledger.execute("SELECT number, run, marker, overlaps FROM submissions ORDER BY number").fetchall()
    ledger.close()
    found: dict[str, list[Submission]] = defaultdict(list)
    for number, run, marker, overlaps in rows:
        found[run].append(Submission(number, run, marker, overlaps))
    return found
