"""The guardian ends its command with the process that started it, however that ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moonmind.demo import guardian

_GUARD = [sys.executable, "-I", guardian.__file__]
_SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command whose first line is `up`, and wait for that line."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process


def close_pipe(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def children_of(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent_of(entry) == pid]


def parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


def wait_for_children_of(pid: int) -> list[int]:
    deadline = time.monotonic() + 10
    while not (children := children_of(pid)):
        assert time.monotonic() < deadline, f"process {pid} starts nothing"
        time.sleep(0.02)
    return children


class TestGuardian:
    def test_hands_on_the_status_of_its_command(self) -> None:
        command = [*_GUARD, sys.executable, "-c", "raise SystemExit(7)"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.wait(10) == 7

    def test_ends_the_command_when_the_pipe_closes(self) -> None:
        with started(*_GUARD, sys.executable, "-c", _SLEEPER) as guard:
            (command,) = children_of(guard.pid)
            close_pipe(guard)
            guard.wait(10)
        assert is_gone(command)

    def test_ends_what_the_command_left_behind(self) -> None:
        forgetful = (
            "import subprocess, sys\n"
            "left = [sys.executable, '-c', 'import os, time; os.close(2); time.sleep(600)']\n"
            "subprocess.Popen(left, stderr=subprocess.PIPE).stderr.read()\n"
            "print('up', flush=True)"
        )
        with started(*_GUARD, sys.executable, "-c", forgetful) as guard:
            assert guard.wait(10) == 0
            assert guard.stdout is not None
            # It holds the pipe as long as it lives, so this would not end.
            assert guard.stdout.read() == b""

    def test_ends_the_command_when_its_starter_is_killed(self) -> None:
        guarded = [*_GUARD, sys.executable, "-c", "import time; time.sleep(600)"]
        program = (
            "import subprocess, time\n"
            f"guard = subprocess.Popen({guarded!r}, stdin=subprocess.PIPE, start_new_session=True)\n"
            "print('up', flush=True)\n"
            "time.sleep(600)"
        )
        with started(sys.executable, "-c", program) as starter:
            (guard,) = children_of(starter.pid)
            (command,) = wait_for_children_of(guard)
            starter.kill()
        wait_until_gone(command)
        wait_until_gone(guard)

    def test_is_not_ended_by_the_interrupt_of_the_terminal(self) -> None:
        with started(*_GUARD, sys.executable, "-c", _SLEEPER) as guard:
            guard.send_signal(signal.SIGINT)
            (command,) = children_of(guard.pid)
            assert not is_gone(command)
            close_pipe(guard)

    def test_kills_a_command_that_will_not_end(self) -> None:
        stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_SLEEPER}"
        with started(*_GUARD, "--grace", "0.1", sys.executable, "-c", stubborn) as guard:
            (command,) = children_of(guard.pid)
            close_pipe(guard)
            guard.wait(10)
        assert is_gone(command)
