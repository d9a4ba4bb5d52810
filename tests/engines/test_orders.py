"""The API answers in time whatever its broker or its database does."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.engines.conftest import Stack, assert_landed_once, until
from tests.engines.listening import Proxy, black_hole
from tests.services_postgresql import PostgresqlServer
from tests.services_redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.postgresql, pytest.mark.redis]
AT_ONCE = 2.0
"""Seconds; the answer itself takes some hundredths, the rest is for a crowded machine."""


def timed(stack: Stack, repository: str) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    response = stack.post(repository)
    return response, time.monotonic() - started


@pytest.fixture
def redis_to_come(own_stack: Stack, _redis_server_of_session: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis at the address that the stack was given, not started yet."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(_redis_server_of_session.executable, folder)
    server.port = make_url(own_stack.broker_url).port or 0
    yield server
    server.stop()


def test_without_a_broker_orders_are_taken_and_run_when_it_comes_back(
    own_stack: Stack, redis_to_come: RedisServer
) -> None:
    bares = {name: own_stack.add_repository(name) for name in ("octo/before", "octo/paused")}
    own_stack.start_api()

    before, seconds = timed(own_stack, "octo/before")
    assert (before.status_code, seconds < AT_ONCE) == (202, True)

    redis_to_come.start()
    redis_to_come.signal(signal.SIGSTOP)
    paused, seconds = timed(own_stack, "octo/paused")
    assert (paused.status_code, seconds < AT_ONCE) == (202, True)

    redis_to_come.signal(signal.SIGCONT)
    own_stack.start_worker()
    for response, bare in zip((before, paused), bares.values(), strict=True):
        assert_landed_once(own_stack.wait(response.json()["id"]), bare)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_never_answers_delays_nobody(own_stack: Stack, scheme: str) -> None:
    with black_hole() as port:
        own_stack.broker_url = f"{scheme}://127.0.0.1:{port}/"
        own_stack.start_api()
        for name in ("octo/one", "octo/two", "octo/three"):
            response, seconds = timed(own_stack, name)
            assert (response.status_code, seconds < AT_ONCE) == (202, True)


def test_without_a_database_the_answer_is_503_within_five_seconds(
    own_stack: Stack, postgresql_server: PostgresqlServer
) -> None:
    own_stack.start_api()
    assert own_stack.post("octo/before").status_code == 202

    postgresql_server.crash()
    try:
        response, seconds = timed(own_stack, "octo/crashed")
        health = httpx.get(f"{own_stack.url}/health/ready")
    finally:
        postgresql_server.start_again()

    assert (response.status_code, response.headers["Retry-After"], response.json()["code"]) == (
        503,
        "5",
        "database_unavailable",
    )
    assert seconds < 5
    assert health.status_code == 503
    again: list[httpx.Response] = []

    def is_taken() -> bool:
        again.append(own_stack.post("octo/again"))
        return again[-1].status_code == 202

    until(is_taken, what=lambda: str([answer.text for answer in again]), seconds=10)


def test_a_database_that_takes_connections_and_never_answers_is_503_within_five_seconds(own_stack: Stack) -> None:
    url = make_url(own_stack.database_url)
    with closing(Proxy(os.path.join(str(url.query["host"]), ".s.PGSQL.5432"))) as proxy:  # noqa: PTH118 - a socket
        through = url.set(host="127.0.0.1", port=proxy.port, query={})
        direct, own_stack.database_url = own_stack.database_url, through.render_as_string(hide_password=False)
        own_stack.start_api()
        own_stack.database_url = direct
        assert own_stack.post("octo/before").status_code == 202

        proxy.freeze()
        response, seconds = timed(own_stack, "octo/frozen")

        assert (response.status_code, seconds < 5) == (503, True)
