"""A worker that is asked to stop gives its stages back; a killed one's are taken over."""

import signal
from pathlib import Path

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.postgresql, pytest.mark.redis]
LONG_LEASE = {"SPEC_WORKFLOW_STAGE_LEASE_SECONDS": "60", "SPEC_WORKFLOW_HEARTBEAT_SECONDS": "15"}


def waiting_agent(gate: Path) -> str:
    """Return an agent that does its work when a file is there; it may read everywhere, but write in its tree only."""
    return f"while [ ! -e {gate} ]; do sleep 0.1; done\n{WRITER}"


@pytest.mark.parametrize(
    ("broker", "asked_by"),
    [
        ("redis", signal.SIGTERM),
        ("redis", signal.SIGINT),
        pytest.param("rabbitmq", signal.SIGTERM, marks=pytest.mark.rabbitmq),
    ],
    indirect=["broker"],
)
def test_a_clean_stop_hands_the_stage_on_without_a_crash(stack: Stack, asked_by: signal.Signals) -> None:
    name = f"stopped-{asked_by.name}".lower()
    bare = stack.add_repository(f"octo/{name}", waiting_agent(stack.folder / name))
    # A lease that would outlast the test: only the clean stop can free the stage.
    first = stack.start_worker(host="first", settings=LONG_LEASE)
    run_id = stack.order(f"octo/{name}")
    stack.wait_for_stage(run_id, "submit")
    stack.start_worker(host="second")

    assert first.stop(asked_by) == 0
    (stack.folder / name).touch()

    run = stack.wait(run_id)
    assert_landed_once(run, bare)
    assert crashes(run) == 0


def test_after_a_kill_another_host_goes_on_when_the_lease_is_over(stack: Stack) -> None:
    bare = stack.add_repository("octo/killed", waiting_agent(stack.folder / "killed"))
    first = stack.start_worker(host="first")
    run_id = stack.order("octo/killed")
    stack.wait_for_stage(run_id, "submit")
    stack.start_worker(host="second")

    first.kill()
    (stack.folder / "killed").touch()

    run = stack.wait(run_id, seconds=LEASE_SECONDS + 10)
    assert_landed_once(run, bare)
    assert crashes(run) == 1


def test_after_a_kill_a_restart_on_the_same_host_goes_on_at_once(stack: Stack) -> None:
    bare = stack.add_repository("octo/restarted", waiting_agent(stack.folder / "restarted"))
    first = stack.start_worker(settings=LONG_LEASE)
    run_id = stack.order("octo/restarted")
    stack.wait_for_stage(run_id, "submit")

    first.kill()
    (stack.folder / "restarted").touch()
    stack.start_worker(settings=LONG_LEASE)

    run = stack.wait(run_id, seconds=10)
    assert_landed_once(run, bare)
    assert crashes(run) == 1


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_the_first_process_of_a_container_stops_like_any_other(stack: Stack) -> None:
    """The kernel hands no signal without a handler to process 1, so a forgotten one would show here."""
    bare = stack.add_repository("octo/contained", waiting_agent(stack.folder / "contained"))
    contained = stack.start(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *MOONMIND_WORKER], host="container"
    )
    contained.wait_for(r" ready\.")
    run_id = stack.order("octo/contained")
    stack.wait_for_stage(run_id, "submit")

    contained.signal_inner(signal.SIGTERM)

    assert contained.popen.wait(30) == 0
    (stack.folder / "contained").touch()
    until(lambda: stack.run(run_id)["tasks"][1]["status"] == "queued", what=lambda: stack.report(run_id), seconds=1)
    stack.start_worker(host="second")
    run = stack.wait(run_id)
    assert_landed_once(run, bare)
    assert crashes(run) == 0
