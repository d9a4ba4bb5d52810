"""A worker that cannot work on ends itself with a code of its own, and its runs land elsewhere."""

import sys
from pathlib import Path

import pytest

from moonmind.dispatch.watchdog import EXIT_STUCK
from tests.engines.conftest import Stack, assert_landed_once, crashes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.postgresql, pytest.mark.redis]
STUCK_WORKER = [sys.executable, str(Path(__file__).with_name("stuck_worker.py"))]


@pytest.mark.parametrize(
    ("broker", "ailment"),
    [("redis", "deaf"), ("redis", "hanging"), pytest.param("rabbitmq", "deaf", marks=pytest.mark.rabbitmq)],
    indirect=["broker"],
)
def test_a_stuck_worker_ends_itself_for_its_supervisor(stack: Stack, ailment: str) -> None:
    bare = stack.add_repository(f"stuck/{ailment}")
    worker = stack.start_worker(ailment, by=STUCK_WORKER)
    run_id = stack.order(f"stuck/{ailment}")

    assert worker.popen.wait(30) == EXIT_STUCK, worker.log
    assert "worker_stuck" in worker.log

    stack.start_worker()
    run = stack.wait(run_id)
    assert_landed_once(run, bare)
    assert (crashes(run) > 0) == (ailment == "hanging")
