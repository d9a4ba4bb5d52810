"""The heartbeat outlives a database that is away for a while, and never believes in a lease too long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.states import Stage
from moonmind.workflows.speckit_celery.heartbeat import LeaseBook, StageLease
from tests.integration.interleavings.conftest import claimed, end_lease, run_at


class CrowdedDatabase(Database):
    """A database whose pool has no connection to give while it is crowded."""

    crowded = False

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Fail as the pool does, which is no error of the driver."""
        if self.crowded:
            raise PoolTimeoutError
        with super().transaction() as session:
            yield session


@pytest.fixture
def database(sqlite_url: str) -> Iterator[CrowdedDatabase]:
    database = CrowdedDatabase(sqlite_url)
    yield database
    database.dispose()


@pytest.fixture
def held(database: CrowdedDatabase) -> ClaimedStage:
    return claimed(database, run_at(database, Stage.SUBMIT), Stage.SUBMIT)


def lease_of(database: Database, held: ClaimedStage, *, seconds: float, age: float = 0) -> StageLease:
    return StageLease(
        database,
        held,
        lease=timedelta(seconds=seconds),
        beat=timedelta(seconds=0.1),
        book=LeaseBook(),
        asked_at=time.monotonic() - age,
    )


class Agent:
    """Whoever works under a lease."""

    def __init__(self) -> None:
        self.renewals: list[float] = []
        self.told = 0

    def lost(self) -> None:
        self.told += 1


def test_a_pool_without_a_connection_does_not_end_the_heartbeat(database: CrowdedDatabase, held: ClaimedStage) -> None:
    """The pool's own error went past the heartbeat's handler, and the stage was lost with its thread."""
    with lease_of(database, held, seconds=3) as lease:
        database.crowded = True
        time.sleep(0.5)
        database.crowded = False
        agent = Agent()
        with lease.attach(agent.renewals.append, agent.lost):
            time.sleep(0.5)
        assert len(agent.renewals) > 1
        assert agent.told == 0


def test_a_database_that_stays_away_ends_the_lease_on_this_hosts_clock(
    database: CrowdedDatabase, held: ClaimedStage
) -> None:
    agent = Agent()
    with lease_of(database, held, seconds=0.4) as lease, lease.attach(agent.renewals.append, agent.lost):
        database.crowded = True
        time.sleep(0.8)
        assert lease.lost
        assert agent.told == 1


def test_a_lease_counts_from_before_the_claim(database: CrowdedDatabase, held: ClaimedStage) -> None:
    """A pause between the claim and the first beat is not added to what the database granted."""
    agent = Agent()
    with lease_of(database, held, seconds=60, age=61) as lease, lease.attach(agent.renewals.append, agent.lost):
        assert lease.lost
        assert (agent.renewals, agent.told) == ([], 1)


def test_a_stage_that_was_given_away_tells_its_agent_once(database: CrowdedDatabase, held: ClaimedStage) -> None:
    agent = Agent()
    with lease_of(database, held, seconds=60) as lease, lease.attach(agent.renewals.append, agent.lost):
        end_lease(database, held)
        time.sleep(0.5)
        assert lease.lost
        assert agent.told == 1
