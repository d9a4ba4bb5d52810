"""The outbox loses no chain, and two relays send no more than one copy too many."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kombu.exceptions import OperationalError as BrokerError

from api_service.db.models import WorkflowOutbox
from api_service.db.session import Database
from api_service.db.types import ControlledClock
from moonmind.dispatch.outbox import Relay
from moonmind.domain.claims import ClaimedStage, NotClaimed, StageMessage
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Ended
from moonmind.domain.ports import AgentHandle, SubmissionIntent
from moonmind.domain.states import Stage, StageStatus
from moonmind.workflows import cancel_spec_workflow_run, start_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import WAITING_FOR_SLOT, claim_stage, park_for_slot, take_over, wake
from moonmind.workflows.speckit_celery.completion import complete_stage
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories
from tests.integration.interleavings.conftest import claimed, end_lease, look, run_at, terms
from tests.integration.model.broker import CountingSweep, FaultyBroker
from tests.integration.workflow.conftest import GRACE, order


@pytest.fixture
def clock() -> ControlledClock:
    return ControlledClock()


@pytest.fixture
def timed(sqlite_url: str, clock: ControlledClock) -> Iterator[Database]:
    """A database whose time stands until the test moves it."""
    database = Database(sqlite_url, clock=clock)
    yield database
    database.dispose()


class SlowBroker(FaultyBroker):
    """A broker that takes so long with the first message that its relay's lease ends meanwhile."""

    def __init__(self, clock: ControlledClock, other: Relay) -> None:
        super().__init__()
        self._clock = clock
        self._other = other

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """Let another relay come by, then refuse."""
        self._clock.advance(timedelta(seconds=31))
        self._other.send_one()
        message = "the broker took too long"
        raise BrokerError(message)


class DyingRelay(Relay):
    """A relay whose process is killed after it sent, before it could say so."""

    def _mark(self, *_args: object) -> None:
        raise KeyboardInterrupt


class UnfinishedRelay(Relay):
    """A relay that sent and is still at it."""

    def _mark(self, *_args: object) -> None:
        pass


class TestRelay:
    def test_two_processes_send_each_chain_once(self, database: Database) -> None:
        runs = [
            start_spec_workflow_run(database, order(feature_key=f"{number:03}-x"), grace=GRACE) for number in range(12)
        ]
        brokers = [FaultyBroker(), FaultyBroker()]
        relays = [Relay(database, broker, sender=f"relay-{n}", grace=GRACE) for n, broker in enumerate(brokers)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Relay.send_all, relays))
        for relay in relays:
            relay.send_all()
        sent = [message.run_id for broker in brokers for message in broker.messages]
        assert sorted(sent) == sorted(runs)

    def test_a_death_after_sending_makes_one_copy_that_the_claim_absorbs(
        self, timed: Database, clock: ControlledClock
    ) -> None:
        run_id = start_spec_workflow_run(timed, order(), grace=GRACE)
        first, second = FaultyBroker(), FaultyBroker()
        dying = DyingRelay(timed, first, sender="dying", grace=GRACE)
        with pytest.raises(KeyboardInterrupt):
            dying.send_one()
        survivor = Relay(timed, second, sender="survivor", grace=GRACE)
        assert not survivor.send_one(), "the row is still leased"
        clock.advance(timedelta(seconds=31))
        assert survivor.send_one()
        assert not survivor.send_one()
        messages = first.messages + second.messages
        claims = [claim_stage(timed, message.head, terms("worker-a")) for message in messages]
        assert [type(claim) for claim in claims] == [ClaimedStage, NotClaimed]
        assert look(timed, run_id)[0].epoch == 1

    def test_a_slow_relay_does_not_end_the_lease_of_the_next(self, timed: Database, clock: ControlledClock) -> None:
        """A relay whose broker hung gave the row back after another had taken it: a third one sent it again."""
        start_spec_workflow_run(timed, order(), grace=GRACE)
        other = UnfinishedRelay(timed, FaultyBroker(), sender="other", grace=GRACE)
        slow = Relay(timed, SlowBroker(clock, other), sender="slow", grace=GRACE)

        assert not slow.send_one()

        with timed.reading() as session:
            (row,) = session.query(WorkflowOutbox).all()
        assert row.leased_until is not None
        assert row.leased_until > clock.at

    def test_an_unsent_row_of_an_earlier_attempt_sends_nothing(self, timed: Database) -> None:
        run_id = start_spec_workflow_run(timed, order(), grace=GRACE)
        cancel_spec_workflow_run(timed, run_id, reason=None)
        with timed.transaction() as session:
            run = Repositories(session, timed.clock).runs.lock(run_id)
            assert run is not None
            run.epoch = 2
        broker = FaultyBroker()
        assert Relay(timed, broker, sender="relay", grace=GRACE).send_one()
        assert broker.messages == []


class TestSlots:
    def test_a_freed_slot_goes_to_the_oldest_run_however_often_it_looked(
        self, timed: Database, clock: ControlledClock, tmp_path: Path
    ) -> None:
        """Each look began a new wait, so the run that had waited longest came last, for ever."""
        runs = [run_at(timed, Stage.SUBMIT, feature_key=f"{number:03}-x") for number in range(3)]
        for run_id in [*runs, runs[0]]:
            if look(timed, run_id)[1][Stage.SUBMIT].status == StageStatus.WAITING:
                clock.advance(timedelta(seconds=16))
                assert wake(timed, run_id, grace=GRACE)
            _park(timed, run_id)
            clock.advance(timedelta(seconds=1))

        assert CountingSweep(timed, FaultyBroker(), tmp_path).wake_for_slot() == 1

        assert [look(timed, run_id)[1][Stage.SUBMIT].status for run_id in runs] == ["queued", "waiting", "waiting"]

    def test_a_long_line_looks_seldom(self, timed: Database, clock: ControlledClock) -> None:
        """With a fixed pause, a line of hundreds would write and send without end while one agent works."""
        runs = [run_at(timed, Stage.SUBMIT, feature_key=f"{number:03}-x") for number in range(12)]
        for run_id in sorted(runs):
            _park(timed, run_id)
        polls = [look(timed, run_id)[1][Stage.SUBMIT].next_poll_at for run_id in sorted(runs)]
        waits = [round((poll - clock.at).total_seconds()) for poll in polls if poll]
        assert waits == [15 * place for place in range(1, 13)]


def _park(database: Database, run_id: UUID) -> None:
    park_for_slot(database, StageMessage(run_id, Stage.SUBMIT, 1), look_again=timedelta(seconds=15))
    assert look(database, run_id)[1][Stage.SUBMIT].waiting_for == WAITING_FOR_SLOT


class TestSubmissions:
    @pytest.fixture
    def submitting(self, timed: Database) -> ClaimedStage:
        """A claim whose agent is at work."""
        held = claimed(timed, run_at(timed, Stage.SUBMIT), Stage.SUBMIT)
        guard = ClaimGuard(timed, held)
        guard.begin(SubmissionIntent("command", "mm-1", "1" * 40, "mm-1"))
        guard.started("mm-1", AgentHandle(host="here", pid=7))
        return held

    def owned(self, database: Database) -> frozenset[str]:
        with database.reading() as session:
            return Repositories(session, database.clock).submissions.owned_workspaces()

    @pytest.mark.parametrize("crashes", [1, 5])
    def test_of_a_run_that_a_sweep_ended_own_no_workspace(
        self, timed: Database, submitting: ClaimedStage, crashes: int
    ) -> None:
        """They stayed live, so the janitor kept the trees of dead runs for ever."""
        assert self.owned(timed) == {"mm-1"}
        held = submitting
        for _ in range(crashes - 1):
            end_lease(timed, held)
            take_over(timed, held.run_id, held_by=None, crashed=True, grace=GRACE)
            held = claimed(timed, held.run_id, Stage.SUBMIT)
        if crashes == 1:
            cancel_spec_workflow_run(timed, held.run_id, reason=None)
        end_lease(timed, held)
        take_over(timed, held.run_id, held_by=None, crashed=True, grace=GRACE)
        assert look(timed, held.run_id)[0].finished_at is not None
        assert self.owned(timed) == frozenset()

    def test_that_were_given_up_are_not_brought_back_by_a_late_word(
        self, timed: Database, submitting: ClaimedStage
    ) -> None:
        failed = Ended.failed(FailureCode.AGENT_FAILED, "It broke.")
        complete_stage(timed, submitting, failed, artifacts=(), grace=GRACE)
        with timed.transaction() as session:
            Repositories(session, timed.clock).submissions.start("mm-1", AgentHandle(host="here", pid=8))
        assert self.owned(timed) == frozenset()


class TestStores:
    """A run stays with the store that has its files."""

    def terms_of(self, store: str | None) -> Any:
        base = terms("worker-a")
        return type(base)(base.owner, base.lease, base.limit, store)

    @pytest.fixture
    def run_id(self, timed: Database) -> UUID:
        run_id = run_at(timed, Stage.APPLY)
        with timed.transaction() as session:
            run = Repositories(session, timed.clock).runs.lock(run_id)
            assert run is not None
            run.artifact_store_id = "store-1"
        return run_id

    @pytest.mark.parametrize("here", ["store-2", None])
    def test_a_worker_with_another_store_or_none_hands_the_stage_back(
        self, timed: Database, clock: ControlledClock, run_id: UUID, here: str | None
    ) -> None:
        """A disk that is not mounted must not fail every run that this worker takes."""
        message = StageMessage(run_id, Stage.APPLY, 1)
        assert claim_stage(timed, message, self.terms_of(here)) is NotClaimed.DROPPED
        row = look(timed, run_id)[1][Stage.APPLY]
        assert (row.status, row.token, row.crashes, row.waiting_for) == ("waiting", 0, 0, "artifact_store")
        clock.advance(timedelta(seconds=16))
        assert wake(timed, run_id, grace=GRACE)
        assert isinstance(claim_stage(timed, message, self.terms_of("store-1")), ClaimedStage)

    def test_a_summary_is_written_to_the_runs_own_store(self, timed: Database, tmp_path: Path, run_id: UUID) -> None:
        cancel_spec_workflow_run(timed, run_id, reason=None)
        sweep = CountingSweep(timed, FaultyBroker(), tmp_path)
        sweep.run_once()
        assert look(timed, run_id)[0].summary_at is None
        with timed.transaction() as session:
            run = Repositories(session, timed.clock).runs.lock(run_id)
            assert run is not None
            run.artifact_store_id = sweep._store.store_id
        sweep.run_once()
        assert look(timed, run_id)[0].summary_at is not None


def test_a_dead_relays_row_is_sent_by_whoever_finds_it_dead(timed: Database) -> None:
    """A proof found this: a kill between taking a row and sending it delayed its run by the whole relay lease."""
    start_spec_workflow_run(timed, order(), grace=GRACE)
    with timed.transaction() as session:
        assert Repositories(session, timed.clock).outbox.lease_next(lease=GRACE, sender="dead")
    broker = FaultyBroker()
    relay = Relay(timed, broker, sender="alive", grace=GRACE)
    assert relay.send_all() == 0
    relay.release_from(frozenset({"somebody else"}))
    assert relay.send_all() == 0

    relay.release_from(frozenset({"dead"}))

    assert relay.send_all() == 1
