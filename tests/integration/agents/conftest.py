"""Share real agents and a watch over their processes between the tests of the launcher."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.agents.supervised import SupervisedOrder

# It leaves a child in a session of its own, orphaned at once and deaf to polite signals, like some
# commands that agents run; then it does what its argument says.
STUBBORN = """
import os, signal, sys, time

def note():
    with open("pids", "a") as pids:
        pids.write(f"{os.getpid()}\\n")

for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
note()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 3)
        note()
        while True:
            time.sleep(1)
    note()
    os._exit(0)
os.wait()
while True:
    with open("pids") as pids:
        if len(pids.read().split()) == 3:
            break
    time.sleep(0.01)
print("all are there", flush=True)
if sys.argv[1] == "stay":
    while True:
        time.sleep(0.1)
        print("busy", flush=True)
"""


class Processes:
    """The processes of one stubborn agent, as they told it themselves."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "pids"

    def wait_until_there(self) -> Sequence[int]:
        deadline = time.monotonic() + 15
        while len(self._pids()) < 3:
            assert time.monotonic() < deadline, "the agent never got going"
            time.sleep(0.01)
        return self._pids()

    def alive(self) -> Sequence[int]:
        return [pid for pid in self._pids() if is_alive(pid)]

    def gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _pids(self) -> list[int]:
        return [int(line) for line in self._file.read_text().split()] if self._file.exists() else []


def is_alive(pid: int) -> bool:
    """A zombie is dead: whoever adopted it has not looked yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {b"Z", b"X"}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    for pid in processes.alive():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., SupervisedOrder]:
    """Make the order for a program that runs in the test's folder."""
    prompt = tmp_path / "prompt.md"
    prompt.write_text("the prompt\n")

    def run_of(*argv: str, wall: float = 20, idle: float = 20, log_limit: int = 64 * 1024 * 1024) -> SupervisedOrder:
        return SupervisedOrder(
            argv=argv,
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdin_path=prompt,
            log_path=tmp_path / "log.jsonl",
            wall=timedelta(seconds=wall),
            idle=timedelta(seconds=idle),
            log_limit=log_limit,
        )

    return run_of


@pytest.fixture
def stubborn(run_of: Callable[..., SupervisedOrder]) -> Callable[[str], SupervisedOrder]:
    """Make the order for the stubborn agent, which will `leave` or `stay`."""
    return lambda how: run_of(sys.executable, "-I", "-S", "-c", STUBBORN, how)
