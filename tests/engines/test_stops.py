"""A worker that is asked to stop gives its stages back; a killed one's are taken over."""

import signal

import pytest

from tests.engines.conftest import (
    LEASE_SECONDS,
    MOONMIND_WORKER,
    Stack,
    assert_landed_once,
    crashes,
    until,
)
from tests.repositories import WRITER

pytestmark = [pytest.mark.slow, pytest.mark.postgresql, pytest.mark.redis]
LONG_LEASE = {"SPEC_WORKFLOW_STAGE_LEASE_SECONDS": "60", "SPEC_WORKFLOW_HEARTBEAT_SECONDS": "15"}


def slow_agent(stack: Stack, name: str) -> str:
    """Return an agent that is slow at its first start and does its work at the second."""
    return f"if [ ! -e {stack.folder}/{name} ]; then touch {stack.folder}/{name}; sleep 60; fi\n{WRITER}"


def wait_for_agent(stack: Stack, run_id: str, name: str) -> None:
    """Wait until the agent is at work for the first time."""
    until((stack.folder / name).exists, what=lambda: stack.report(run_id))


@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_hands_the_stage_on_without_a_crash(stack: Stack, asked_by: signal.Signals) -> None:
    name = f"stopped-{asked_by.name}".lower()
    bare = stack.add_repository(f"octo/{name}", slow_agent(stack, name))
    # A lease that would outlast the test: only the clean stop can free the stage.
    first = stack.start_worker(host="first", settings=LONG_LEASE)
    run_id = stack.order(f"octo/{name}")
    wait_for_agent(stack, run_id, name)
    stack.start_worker(host="second")

    assert first.stop(asked_by) == 0

    run = stack.wait(run_id)
    assert_landed_once(run, bare)
    assert crashes(run) == 0


def test_after_a_kill_another_host_goes_on_when_the_lease_is_over(stack: Stack) -> None:
    bare = stack.add_repository("octo/killed", slow_agent(stack, "killed"))
    first = stack.start_worker(host="first")
    run_id = stack.order("octo/killed")
    wait_for_agent(stack, run_id, "killed")
    stack.start_worker(host="second")

    first.kill()

    run = stack.wait(run_id, seconds=LEASE_SECONDS + 10)
    assert_landed_once(run, bare)
    assert crashes(run) == 1


def test_after_a_kill_a_restart_on_the_same_host_goes_on_at_once(stack: Stack) -> None:
    bare = stack.add_repository("octo/restarted", slow_agent(stack, "restarted"))
    first = stack.start_worker(settings=LONG_LEASE)
    run_id = stack.order("octo/restarted")
    wait_for_agent(stack, run_id, "restarted")

    first.kill()
    stack.start_worker(settings=LONG_LEASE)

    run = stack.wait(run_id, seconds=10)
    assert_landed_once(run, bare)
    assert crashes(run) == 1


def test_the_first_process_of_a_container_stops_like_any_other(stack: Stack) -> None:
    """The kernel hands no signal without a handler to process 1, so a forgotten one would show here."""
    bare = stack.add_repository("octo/contained", slow_agent(stack, "contained"))
    contained = stack.start(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *MOONMIND_WORKER], host="container"
    )
    contained.wait_for(r" ready\.")
    run_id = stack.order("octo/contained")
    wait_for_agent(stack, run_id, "contained")

    contained.signal_inner(signal.SIGTERM)

    assert contained.popen.wait(30) == 0
    until(lambda: stack.run(run_id)["tasks"][1]["status"] == "queued", what=lambda: stack.report(run_id), seconds=1)
    stack.start_worker(host="second")
    run = stack.wait(run_id)
    assert_landed_once(run, bare)
    assert crashes(run) == 0
