"""A broker or a database goes away in the middle of runs; every run still lands once."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.engines.conftest import Broker, Stack, Supervisor, assert_landed_once
from tests.repositories import WRITER
from tests.services_postgresql import PostgresqlServer
from tests.services_redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.postgresql, pytest.mark.redis]
RUNS = 4
OUTAGE_SECONDS = 2


@pytest.fixture(scope="module")
def supervised(_stack_of_session: Stack) -> Iterator[Stack]:
    """A stack with two workers on two hosts, which are started again when they end, as operators are told to do."""
    stack = _stack_of_session
    with Supervisor(stack, hosts=("first", "second")):
        yield stack
    stack.end(keep=1)


def lands_all(stack: Stack, name: str, happens: Callable[[], object]) -> None:
    """Order runs, let something happen while some are at work, and require that all land once."""
    names = [f"{name}/{number}" for number in range(RUNS)]
    bares = {each: stack.add_repository(each, f"sleep 0.5\n{WRITER}") for each in names}
    runs = {each: stack.order(each) for each in names}
    stack.wait_for_stage(runs[names[0]], "submit")

    happens()

    for each in names:
        assert_landed_once(stack.wait(runs[each], seconds=50), bares[each])


def test_a_broker_that_is_killed_and_comes_back(supervised: Stack, broker: Broker) -> None:
    """Redis comes back empty, RabbitMQ with the messages that were on its disk."""

    def restart() -> None:
        broker.kill()
        time.sleep(OUTAGE_SECONDS)
        broker.start()

    lands_all(supervised, "restart", restart)


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_a_redis_that_forgets_everything(supervised: Stack, broker: RedisServer) -> None:
    lands_all(supervised, "flush", broker.forget_everything)


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_a_database_that_crashes(supervised: Stack, postgresql_server: PostgresqlServer) -> None:
    def crash() -> None:
        postgresql_server.crash()
        postgresql_server.start_again()

    lands_all(supervised, "crash", crash)
