"""Arrange two workers over one database, and stop one of them between two statements."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event

from api_service.db.models import SpecWorkflowRun, SpecWorkflowTaskState
from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, StageMessage
from moonmind.domain.outcomes import Done
from moonmind.domain.states import STAGES, Stage
from moonmind.workflows import start_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import ClaimTerms, claim_stage
from moonmind.workflows.speckit_celery.completion import complete_stage
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages
from tests.integration.workflow.conftest import GRACE, order, results

PATIENCE = 10


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """A PostgreSQL database, where two transactions really are at work at the same time."""
    database = Database(postgresql_url)
    yield database
    database.dispose()


def terms(owner: str, lease: float = 60) -> ClaimTerms:
    return ClaimTerms(owner, timedelta(seconds=lease), timedelta(minutes=10))


def claimed(database: Database, run_id: UUID, stage: Stage, *, owner: str = "worker-a", epoch: int = 1) -> ClaimedStage:
    taken = claim_stage(database, StageMessage(run_id, stage, epoch), terms(owner))
    assert isinstance(taken, ClaimedStage)
    return taken


def run_at(database: Database, stage: Stage, **changes: object) -> UUID:
    """Order a run and let it succeed in every stage before the given one."""
    run_id = start_spec_workflow_run(database, order(**changes), grace=GRACE)
    for earlier in STAGES[: STAGES.index(stage)]:
        done = Done(results(f"specs/{changes.get('feature_key', '001-habits')}")[earlier])
        complete_stage(database, claimed(database, run_id, earlier), done, artifacts=(), grace=GRACE)
    return run_id


def end_lease(database: Database, held: ClaimedStage) -> None:
    """Let a lease be over, as after a pause of its worker."""
    with database.transaction() as session:
        row = session.get(SpecWorkflowTaskState, held.stage_id)
        assert row is not None
        row.lease_until = database.clock.now(timedelta(seconds=-1))


def look(database: Database, run_id: UUID) -> tuple[SpecWorkflowRun, Stages]:
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        return repositories.runs.get(run_id), repositories.stages.latest(run_id)


class Paused:
    """A thread that stands still in the middle of a transaction until it is told to go on."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.reached = threading.Event()
        self._go = threading.Event()
        self._result: list[object] = []
        self._thread = threading.Thread(target=lambda: self._result.append(act()))

    def start(self) -> None:
        """Run until the pause."""
        self._thread.start()
        assert self.reached.wait(PATIENCE)

    def hold(self) -> None:
        """Stand still; called by the thread itself."""
        self.reached.set()
        assert self._go.wait(PATIENCE)

    def resume(self) -> object:
        """Let the thread go on to its end, and return what came of it."""
        self._go.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self._result, "the thread failed"
        return self._result[0]


@contextmanager
def paused_before_commit(database: Database, act: Callable[[], object]) -> Iterator[Paused]:
    """Run `act` in a thread up to the commit of its first transaction."""
    paused = Paused(act)
    thread = paused._thread

    def wait(_connection: object) -> None:
        if threading.current_thread() is thread and not paused.reached.is_set():
            paused.hold()

    event.listen(database.engine, "commit", wait)
    try:
        paused.start()
        yield paused
    finally:
        paused._go.set()
        event.remove(database.engine, "commit", wait)
