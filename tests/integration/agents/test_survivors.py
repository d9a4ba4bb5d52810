"""
No process of an agent is left when its run is over or its lease has ended, whatever happened to the worker.

Codex was seen to leave commands behind in process groups of their own; two agents in one
workspace would overwrite each other.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moonmind.agents import supervised
from moonmind.agents.supervised import SupervisedOrder, run_supervised
from moonmind.agents.supervision import EndReason
from moonmind.domain.errors import StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.testing.agents import FakeLease
from tests.integration.agents.conftest import STUBBORN, Processes, is_alive

_ROOT = Path(__file__).parents[3]
MakeOrder = Callable[[str], SupervisedOrder]


@contextmanager
def while_it_works(processes: Processes, act: Callable[[], None]) -> Iterator[None]:
    """Do something from another thread as soon as all processes of the agent are there."""

    def wait_and_act() -> None:
        processes.wait_until_there()
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


@contextmanager
def worker_process(folder: Path, *, lease_seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    script = Path(__file__).with_name("worker_process.py")
    agent = [sys.executable, "-I", "-S", "-c", STUBBORN, "stay"]
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), str(lease_seconds), *agent],
        env={"PYTHONPATH": str(_ROOT)},
        stderr=subprocess.DEVNULL,
    ) as worker:
        yield worker
        worker.send_signal(signal.SIGCONT)
        worker.kill()


def test_none_after_a_normal_end(stubborn: MakeOrder, processes: Processes) -> None:
    end = run_supervised(stubborn("leave"), lease=FakeLease(), started=print)
    assert (end.reason, end.exit_code) == (EndReason.EXITED, 0)
    assert len(processes.wait_until_there()) == 3
    assert processes.alive() == []


def test_none_when_the_lease_is_lost(stubborn: MakeOrder, processes: Processes) -> None:
    lease = FakeLease()
    with while_it_works(processes, lease.lose), pytest.raises(StaleClaimError):
        run_supervised(stubborn("stay"), lease=lease, started=print)
    assert processes.alive() == []


@pytest.mark.slow
def test_none_when_nobody_renews_the_lease(stubborn: MakeOrder, processes: Processes) -> None:
    with pytest.raises(StaleClaimError):
        run_supervised(stubborn("stay"), lease=FakeLease(2.5), started=print)
    assert len(processes.wait_until_there()) == 3
    assert processes.alive() == []


def test_none_when_the_start_could_not_be_stored(stubborn: MakeOrder, processes: Processes) -> None:
    launchers: list[int] = []

    def refuse(pid: int) -> None:
        launchers.append(pid)
        raise StaleClaimError

    with pytest.raises(StaleClaimError):
        run_supervised(stubborn("stay"), lease=FakeLease(), started=refuse)
    assert not is_alive(launchers[0])
    assert processes.alive() == []


def test_none_when_the_worker_is_killed(tmp_path: Path, processes: Processes) -> None:
    with worker_process(tmp_path, lease_seconds=40) as worker:
        processes.wait_until_there()
        worker.kill()
        assert processes.gone_within(2)


@pytest.mark.slow
def test_none_when_the_worker_is_paused_beyond_its_lease(tmp_path: Path, processes: Processes) -> None:
    with worker_process(tmp_path, lease_seconds=4) as worker:
        processes.wait_until_there()
        worker.send_signal(signal.SIGSTOP)
        assert processes.gone_within(4)


def test_none_when_the_launcher_is_asked_to_stop_and_the_stage_is_left_to_be_taken_over(
    stubborn: MakeOrder, processes: Processes
) -> None:
    launchers: list[int] = []
    with (
        while_it_works(processes, lambda: os.kill(launchers[0], signal.SIGTERM)),
        pytest.raises(StaleClaimError),
    ):
        run_supervised(stubborn("stay"), lease=FakeLease(), started=launchers.append)
    assert processes.alive() == []


def test_none_when_the_launcher_is_killed(stubborn: MakeOrder, processes: Processes) -> None:
    launchers: list[int] = []
    with (
        while_it_works(processes, lambda: os.kill(launchers[0], signal.SIGKILL)),
        pytest.raises(WorkflowError, match="launcher") as failure,
    ):
        run_supervised(stubborn("stay"), lease=FakeLease(), started=launchers.append)
    assert failure.value.code is FailureCode.AGENT_FAILED
    assert processes.alive() == []


@pytest.mark.slow
def test_none_when_the_launcher_is_paused_and_the_lease_lost(
    stubborn: MakeOrder, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "_PATIENCE", 1.0)
    launchers: list[int] = []
    lease = FakeLease()

    def pause_and_lose() -> None:
        os.kill(launchers[0], signal.SIGSTOP)
        # The heartbeat's thread calls these, and a full pipe must not block it.
        for _ in range(6_000):
            lease.renew()
        lease.lose()

    with while_it_works(processes, pause_and_lose), pytest.raises(StaleClaimError):
        run_supervised(stubborn("stay"), lease=lease, started=launchers.append)
    assert processes.alive() == []
    assert not is_alive(launchers[0])


@pytest.mark.slow
def test_a_renewed_lease_keeps_the_agent_alive(stubborn: MakeOrder, processes: Processes) -> None:
    lease = FakeLease(2)
    alive_at_the_end: list[int] = []

    def renew_for_longer_than_it_lasts() -> None:
        for _ in range(15):
            lease.renew()
            time.sleep(0.2)
        alive_at_the_end.extend(processes.alive())
        lease.lose()

    renewing = threading.Thread(target=renew_for_longer_than_it_lasts)
    with pytest.raises(StaleClaimError):
        run_supervised(stubborn("stay"), lease=lease, started=lambda _pid: renewing.start())
    renewing.join()
    # The one between them ended by itself, as it should.
    assert len(alive_at_the_end) == 2
    assert processes.alive() == []
