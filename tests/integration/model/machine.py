"""
Play the whole protocol against a broker, workers and operators that do what they like.

Every step is one thing that can happen in production; after each one the rules that may never
break are checked from the bare tables. At the end the faults stop, and every run has to end:
that is what "nothing is lost" means.
"""

from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import delete, select

from api_service.db.models import (
    AgentSubmission,
    PushedRef,
    SpecWorkflowRun,
    SpecWorkflowTaskState,
    WorkflowEvent,
    WorkflowOutbox,
)
from api_service.db.session import Database
from api_service.db.types import ControlledClock
from moonmind.domain.claims import ClaimedStage, NotClaimed
from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Ended, Outcome, Parked
from moonmind.domain.ports import AgentHandle, Intent, PullRequestIntent, PushIntent, SubmissionIntent
from moonmind.domain.states import STAGES, RetryMode, RunOutcome, RunStatus, Stage, StageStatus
from moonmind.workflows import (
    RetryRequest,
    cancel_spec_workflow_run,
    retry_spec_workflow_run,
    start_spec_workflow_run,
)
from moonmind.workflows.speckit_celery.claims import ClaimTerms, claim_stage, park_for_slot
from moonmind.workflows.speckit_celery.completion import Completion, complete_stage
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories
from tests.integration.model.broker import GRACE, ChainMessage, CountingSweep, FaultyBroker
from tests.integration.workflow.conftest import order, results

LEASE = timedelta(seconds=60)
FEATURES = [None, "001-habits", "002-other"]
WORKERS = ["worker-a", "worker-b"]
FATES = ["arrives", "arrives twice", "is lost", "is refused"]
SWEEPS = ["run_once", "_take_over_expired", "_cancel", "_wake_due", "_send_forgotten", "_summarise"]
OTHER_OUTCOMES: list[Outcome] = [
    Parked(timedelta(seconds=5), "The agent is at work."),
    Parked(timedelta(hours=2), "The agent is at work."),
    Ended(RunStatus.NO_WORK, "All done.", outcome=RunOutcome.ALL_DONE),
    *(
        Ended.failed(code, "It went wrong.")
        for code in (FailureCode.PATCH_CONFLICT, FailureCode.FORGE_UNAVAILABLE, FailureCode.PHASE_ALREADY_LANDED)
    ),
]
MOST_RUNS = 2

pick = st.integers(0, 50)


class Holding:
    """A claim in the hands of a worker, who may be far too late with whatever it does next."""

    def __init__(self, claimed: ClaimedStage, message: ChainMessage, owner: str) -> None:
        self.claimed = claimed
        self.message = message
        self.owner = owner


class World:
    """What the service did outside its database; it never forgets."""

    def __init__(self) -> None:
        self.submitted: Counter[str] = Counter()
        self.pushed: set[tuple[UUID, str]] = set()
        self.requests: Counter[UUID] = Counter()
        self.untold: set[UUID] = set()
        """Runs that began to push and whose publish stage has not told how that ended."""


class ProtocolMachine(RuleBasedStateMachine):
    """The moves of brokers, workers, sweepers and operators."""

    def __init__(self, database: Database, clock: ControlledClock, live: Path) -> None:
        super().__init__()
        self.database = database
        self.clock = clock
        self.broker = FaultyBroker()
        self.sweep = CountingSweep(database, self.broker, live)
        self.world = World()
        self.runs: list[UUID] = []
        self.held: list[Holding] = []
        self.tokens: dict[UUID, int] = defaultdict(int)
        self.finished: dict[UUID, str] = {}
        self.generations: dict[UUID, tuple[int, int]] = {}

    # --- operators ---

    @initialize()
    def empty(self) -> None:
        self.clock.at = ControlledClock().at
        with self.database.transaction() as session:
            session.execute(delete(SpecWorkflowRun))

    @precondition(lambda self: len(self.runs) < MOST_RUNS)
    @rule(feature=st.sampled_from(FEATURES), reached=st.sampled_from(STAGES))
    def order_run(self, feature: str | None, reached: Stage) -> None:
        try:
            run_id = start_spec_workflow_run(self.database, order(feature_key=feature), grace=GRACE)
        except WorkflowError as error:
            assert error.code is FailureCode.WORKFLOW_CONFLICT  # noqa: PT017 - any other code is a find
            return
        self.runs.append(run_id)
        self._reach(ChainMessage(run_id, 1, STAGES), reached)

    @precondition(lambda self: self.runs)
    @rule(which=pick)
    def cancel(self, which: int) -> None:
        try:
            cancel_spec_workflow_run(self.database, self._run(which), reason="Changed my mind.")
        except WorkflowError as error:
            assert error.code is FailureCode.CANCEL_NOT_ALLOWED  # noqa: PT017

    @precondition(lambda self: self.runs)
    @rule(which=pick, mode=st.sampled_from(list(RetryMode)))
    def retry(self, which: int, mode: RetryMode) -> None:
        run_id = self._run(which)
        epoch, attempt = self.generations[run_id]
        try:
            retry_spec_workflow_run(
                self.database,
                self.sweep._store,
                RetryRequest(run_id, mode),
                check_credentials=lambda _agent: None,
                grace=GRACE,
            )
        except WorkflowError as error:
            assert error.code in {FailureCode.RETRY_NOT_ALLOWED, FailureCode.WORKFLOW_CONFLICT}  # noqa: PT017
        else:
            self.world.untold.discard(run_id)
            self.generations[run_id] = (epoch + 1, attempt + 1)

    # --- the broker ---

    @rule(fate=st.sampled_from(FATES))
    def relay(self, fate: str) -> None:
        self.broker.fate = fate
        self.sweep.relay.send_one()
        self.broker.fate = "arrives"

    @precondition(lambda self: self.broker.messages)
    @rule(which=pick, lost=st.booleans())
    def lose_or_double(self, which: int, lost: bool) -> None:
        message = self.broker.messages.pop(which % len(self.broker.messages))
        self.broker.messages.extend([] if lost else [message, message])

    # --- workers ---

    @precondition(lambda self: self.broker.messages)
    @rule(which=pick, owner=st.sampled_from(WORKERS), limit=st.sampled_from([30, 600]), goes_on=st.booleans())
    def deliver(self, which: int, owner: str, limit: int, goes_on: bool) -> None:
        self._deliver(self.broker.messages.pop(which % len(self.broker.messages)), owner, limit=limit)
        if goes_on and self.held:
            self._begin_all(self.held[-1])

    @precondition(lambda self: self.broker.messages)
    @rule(which=pick)
    def deliver_without_slot(self, which: int) -> None:
        message = self.broker.messages.pop(which % len(self.broker.messages))
        if park_for_slot(self.database, message.head, look_again=timedelta(seconds=15)) is NotClaimed.DONE:
            self.broker.forward(message.rest)

    @precondition(lambda self: self.held)
    @rule(which=pick)
    def beat(self, which: int) -> None:
        claimed = self._holding(which).claimed
        held = self._is_live(claimed)
        with self.database.transaction() as session:
            renewed = Repositories(session, self.clock).stages.renew(claimed.stage_id, token=claimed.token, lease=LEASE)
        assert held or not renewed, "a lease that had ended came back"

    @precondition(lambda self: self.held)
    @rule(which=pick)
    def begin_effects(self, which: int) -> None:
        self._begin_all(self._holding(which))

    @precondition(lambda self: self.held)
    @rule(which=pick, fate=st.sampled_from(["arrives", "is lost"]), twice=st.booleans())
    def finish(self, which: int, fate: str, twice: bool) -> None:
        holding = self._holding(which)
        self._complete(holding, Done(results()[holding.claimed.stage]), fate=fate, twice=twice)

    @precondition(lambda self: self.held)
    @rule(which=pick, outcome=st.sampled_from(OTHER_OUTCOMES))
    def end_otherwise(self, which: int, outcome: Outcome) -> None:
        self._complete(self._holding(which), outcome)

    @rule(owner=st.sampled_from(WORKERS), cleanly=st.booleans())
    def lose_worker(self, owner: str, cleanly: bool) -> None:
        self.held = [holding for holding in self.held if holding.owner != owner]
        dead = frozenset({owner})
        self.sweep.take_over_from(dead, clean=dead if cleanly else frozenset())
        self.sweep.send_ready_again(dead)

    @precondition(lambda self: self.held)
    @rule(which=pick)
    def vanish(self, which: int) -> None:
        self.held.remove(self._holding(which))

    # --- time and sweepers ---

    @rule(seconds=st.sampled_from([1, 20, 61, 200, 4000]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule(part=st.sampled_from(SWEEPS))
    def sweep_part(self, part: str) -> None:
        getattr(self.sweep, part)()

    @rule()
    def free_slot(self) -> None:
        self.sweep.wake_for_slot()

    # --- what may never break ---

    @invariant()
    def rules_hold(self) -> None:
        with self.database.reading() as session:
            runs = {run.id: run for run in session.scalars(select(SpecWorkflowRun))}
            rows = list(session.scalars(select(SpecWorkflowTaskState).order_by(SpecWorkflowTaskState.attempt)))
            unsent = {(row.run_id, row.epoch) for row in session.scalars(select(WorkflowOutbox)) if row.sent_at is None}
            live = Counter(
                session.scalars(
                    select(AgentSubmission.run_id).where(AgentSubmission.state.in_(["intended", "started"]))
                )
            )
            sequences: dict[UUID, list[int]] = defaultdict(list)
            for run_id, seq in session.execute(
                select(WorkflowEvent.run_id, WorkflowEvent.seq).order_by(WorkflowEvent.seq)
            ):
                sequences[run_id].append(seq)
        by_run: dict[UUID, list[SpecWorkflowTaskState]] = defaultdict(list)
        for row in rows:
            by_run[row.run_id].append(row)
        self._one_active_run_for_each_feature(list(runs.values()))
        for run in runs.values():
            self._events_have_no_holes(run, sequences[run.id])
            self._generations_only_grow(run)
            self._stages_keep_their_rules(by_run[run.id])
            if RunStatus(run.status).is_active:
                self._there_is_a_way_forward(run, by_run[run.id], unsent=(run.id, run.epoch) in unsent)
            else:
                self._nothing_is_left_open(run, by_run[run.id], live[run.id])

    def _one_active_run_for_each_feature(self, runs: list[SpecWorkflowRun]) -> None:
        active = Counter((run.repository, run.feature) for run in runs if RunStatus(run.status).is_active)
        assert all(count == 1 for count in active.values()), active

    def _events_have_no_holes(self, run: SpecWorkflowRun, sequence: list[int]) -> None:
        assert sequence == list(range(1, run.event_seq + 1))

    def _generations_only_grow(self, run: SpecWorkflowRun) -> None:
        assert (run.epoch, run.attempt) == self.generations.setdefault(run.id, (1, 1)), "only a retry changes them"

    def _stages_keep_their_rules(self, rows: list[SpecWorkflowTaskState]) -> None:
        assert sum(row.status == StageStatus.RUNNING for row in rows) <= 1
        for row in rows:
            assert row.token >= self.tokens[row.id]
            self.tokens[row.id] = row.token
            earlier = self.finished.get(row.id)
            assert earlier in {None, row.status}, f"{row.task_name} was {earlier} and is {row.status}"
            if StageStatus(row.status).is_finished:
                self.finished[row.id] = row.status
            assert row.crashes <= row.token

    def _there_is_a_way_forward(self, run: SpecWorkflowRun, rows: list[SpecWorkflowTaskState], *, unsent: bool) -> None:
        latest = {Stage(row.task_name): row for row in rows}
        ahead = next((latest[stage] for stage in STAGES if latest[stage].status != StageStatus.SUCCEEDED), None)
        assert ahead is not None, "an active run has a stage to do"
        queued = ahead.status == StageStatus.QUEUED and (ahead.next_dispatch_at is not None or unsent)
        running = ahead.status == StageStatus.RUNNING and ahead.lease_until is not None
        waiting = ahead.status == StageStatus.WAITING and ahead.next_poll_at is not None
        assert queued or running or waiting, (run.status, ahead.task_name, ahead.status)

    def _nothing_is_left_open(self, run: SpecWorkflowRun, rows: list[SpecWorkflowTaskState], live: int) -> None:
        assert all(StageStatus(row.status).is_finished for row in rows)
        assert live == 0, "a submission of an ended run would keep its workspace for ever"
        if run.id in self.world.untold:
            assert run.failure_code is not None, "a branch was pushed and nobody says so"

    # --- the end ---

    def teardown(self) -> None:
        """Stop all faults; then every run has to come to its end by the chain and the sweep alone."""
        self.held.clear()
        for _ in range(40):
            self.clock.advance(timedelta(minutes=20))
            self.sweep.run_once()
            while self.broker.messages:
                self._deliver(self.broker.messages.pop(0), "worker-c", limit=600)
                for holding in list(self.held):
                    self._work_well(holding)
            if not self._any_active():
                break
        assert not self._any_active(), "a run is lost"
        self.rules_hold()
        assert max(self.world.submitted.values(), default=0) <= 1
        assert max(self.world.requests.values(), default=0) <= 1

    def _work_well(self, holding: Holding) -> None:
        self._begin_all(holding)
        self._complete(holding, Done(results()[holding.claimed.stage]))

    def _any_active(self) -> bool:
        with self.database.reading() as session:
            statuses = session.scalars(select(SpecWorkflowRun.status)).all()
        return any(RunStatus(status).is_active for status in statuses)

    # --- how workers do things ---

    def _run(self, which: int) -> UUID:
        return self.runs[which % len(self.runs)]

    def _holding(self, which: int) -> Holding:
        return self.held[which % len(self.held)]

    def _reach(self, message: ChainMessage, stage: Stage) -> None:
        """Let a new run come to a stage, so that the interesting orders are not all about discover."""
        mine = [message]
        while mine and mine[0].stages[0] is not stage:
            others, self.broker.messages = self.broker.messages, []
            self._deliver(mine.pop(), "worker-a", limit=600)
            self._work_well(self.held[-1])
            mine, self.broker.messages = self.broker.messages, others
        self.broker.messages.extend(mine)

    def _deliver(self, message: ChainMessage, owner: str, *, limit: int) -> None:
        terms = ClaimTerms(owner, LEASE, timedelta(seconds=limit))
        claim = claim_stage(self.database, message.head, terms)
        if isinstance(claim, ClaimedStage):
            assert claim.token > self.tokens[claim.stage_id], "a token was given twice"
            self.held.append(Holding(claim, message, owner))
        elif claim is NotClaimed.DONE:
            self.broker.forward(message.rest)

    def _complete(self, holding: Holding, outcome: Outcome, *, fate: str = "arrives", twice: bool = False) -> None:
        claimed = holding.claimed
        ours = self._is_ours(claimed)

        def complete() -> Completion:
            return complete_stage(self.database, claimed, outcome, artifacts=(), grace=GRACE)

        answer = complete()
        if twice:
            assert complete() is answer, "a repeat of the same outcome gives the same answer"
        self.held.remove(holding)
        assert ours or answer is not Completion.ADVANCED, "a stale holder completed a stage"
        if ours and claimed.stage is Stage.PUBLISH and answer is not Completion.PARKED:
            self.world.untold.discard(claimed.run_id)
        if answer is Completion.ADVANCED:
            self.broker.fate = fate
            self.broker.forward(holding.message.rest)
            self.broker.fate = "arrives"

    def _intents(self, claimed: ClaimedStage) -> list[Intent]:
        branch = f"moonmind/{claimed.run_id}"
        match claimed.stage:
            case Stage.SUBMIT:
                marker = f"mm-run-{claimed.run_id}-{claimed.attempt}-{claimed.token}"
                return [SubmissionIntent("command", marker, "1" * 40, marker)]
            case Stage.PUBLISH:
                return [PushIntent(branch, claimed.run_id.hex), PullRequestIntent(branch)]
            case _:
                return []

    def _begin_all(self, holding: Holding) -> None:
        for intent in self._intents(holding.claimed):
            if not self._begin(holding.claimed, intent):
                return

    def _begin(self, claimed: ClaimedStage, intent: Intent) -> bool:
        """Begin an effect through the guard, and do it in the world when the guard lets it pass."""
        if isinstance(intent, SubmissionIntent) and self.world.submitted[intent.marker]:
            return True
        guard = ClaimGuard(self.database, claimed)
        try:
            guard.begin(intent)
        except StaleClaimError:
            assert not self._is_live(claimed), "a living claim was called stale"
            return False
        except CancelRecordedError:
            return False
        assert self._is_live(claimed), "the guard let a stale claim pass"
        match intent:
            case SubmissionIntent(marker=marker):
                self.world.submitted[marker] += 1
                guard.started(marker, AgentHandle(host="here", pid=7))
            case PushIntent(commit_sha=commit):
                self.world.untold.add(claimed.run_id)
                self.world.pushed.add((claimed.run_id, commit))
                with self.database.reading() as session:
                    known = session.scalars(
                        select(PushedRef.commit_sha).where(PushedRef.run_id == claimed.run_id)
                    ).all()
                assert known.count(commit) == 1, "a commit is known as ours before it is pushed, once"
            case PullRequestIntent():
                # Like the publish stage: look for the run's own one first.
                self.world.requests[claimed.run_id] = 1
        return True

    def _row(self, claimed: ClaimedStage) -> Any:
        with self.database.reading() as session:
            return session.get(SpecWorkflowTaskState, claimed.stage_id)

    def _is_ours(self, claimed: ClaimedStage) -> bool:
        """Tell from the bare row whether the claim still has its stage, even with an expired lease."""
        row = self._row(claimed)
        return row is not None and row.status == StageStatus.RUNNING and row.token == claimed.token

    def _is_live(self, claimed: ClaimedStage) -> bool:
        row = self._row(claimed)
        return self._is_ours(claimed) and row.lease_until > self.clock.at
