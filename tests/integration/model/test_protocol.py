"""Thousands of orders of events over the claim protocol: nothing is lost, nothing is done twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import event

from api_service.db.session import Database
from api_service.db.types import ControlledClock
from tests.integration.model.machine import ProtocolMachine

_EXAMPLES = hypothesis.settings().max_examples


@pytest.fixture
def clock() -> ControlledClock:
    return ControlledClock()


@pytest.fixture
def database(request: pytest.FixtureRequest, clock: ControlledClock) -> Iterator[Database]:
    database = Database(request.getfixturevalue(f"{request.param}_url"), clock=clock)
    if database.is_sqlite:
        event.listen(database.engine, "connect", _do_not_wait_for_the_disk)
    yield database
    database.dispose()


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    # No test here loses power, and the disk is nine tenths of the time.
    connection.execute("PRAGMA synchronous = OFF")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "share"),
    [("sqlite", 2), pytest.param("postgresql", 8, marks=pytest.mark.postgresql)],
    indirect=["database"],
)
@pytest.mark.timeout(3600)
def test_no_order_of_events_breaks_the_protocol(
    database: Database, clock: ControlledClock, share: int, tmp_path: Path
) -> None:
    settings = hypothesis.settings(
        max_examples=max(_EXAMPLES // share, 2),
        stateful_step_count=30,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    class Machine(ProtocolMachine):
        def __init__(self) -> None:
            super().__init__(database, clock, tmp_path)

    run_state_machine_as_test(Machine, settings=settings)
