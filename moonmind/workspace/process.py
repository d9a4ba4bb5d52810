"""Run one program with a time limit and bounded output, so that nothing a repository holds can hang a stage."""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 65_536
_LONGEST_STDERR = 256 * 1024
# How often to look whether the program ended although a stray child keeps a pipe open.
_GLANCE_SECONDS = 0.5


class TimeLimitError(Exception):
    """The program did not end in time; its process group was killed."""


@dataclass(frozen=True)
class Program:
    """What to run and where; the environment is complete, nothing is inherited."""

    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    stdin: bytes = b""
    seconds: float = 600.0
    limit: int = 1 << 30
    """The most bytes of output to take; the program is killed when it writes more."""
    held: tuple[int, ...] = ()
    """File descriptors that the program keeps open, such as a lock that must outlive a killed parent."""


@dataclass(frozen=True)
class Ended:
    """How a program ended; `cut` when its output was longer than the limit."""

    code: int
    stdout: bytes
    stderr: str
    cut: bool = False


def run_bounded(program: Program) -> Ended:
    """
    Run a program in a session of its own and wait for it.

    Whatever happens, no process of its group is left. Raises `TimeLimitError`, and
    `FileNotFoundError` when there is no such program.
    """
    deadline = time.monotonic() + program.seconds
    with tempfile.TemporaryFile() as stdin:
        stdin.write(program.stdin)
        stdin.seek(0)
        process = subprocess.Popen(
            list(program.argv),
            cwd=program.cwd,
            env=dict(program.environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=program.held,
        )
    with process:
        try:
            return _Reader(process, deadline=deadline, limit=program.limit).read()
        finally:
            _kill_group(process)


class _Reader:
    """Reads both pipes of one process until it ends, the time is up, or the limit is reached."""

    def __init__(self, process: subprocess.Popen[bytes], *, deadline: float, limit: int) -> None:
        self._process = process
        self._deadline = deadline
        self._limit = limit
        self._stdout = bytearray()
        self._stderr = bytearray()

    def read(self) -> Ended:
        with selectors.DefaultSelector() as selector:
            for pipe, sink in ((self._process.stdout, self._stdout), (self._process.stderr, self._stderr)):
                if pipe is not None:
                    selector.register(pipe, selectors.EVENT_READ, sink)
            while selector.get_map():
                ready = selector.select(min(self._seconds_left(), _GLANCE_SECONDS))
                if not ready and self._process.poll() is not None:
                    break
                for key, _ in ready:
                    if not self._take(key.fd, key.data):
                        selector.unregister(key.fileobj)
                if len(self._stdout) > self._limit:
                    return self._ended(-signal.SIGKILL, cut=True)
        try:
            return self._ended(self._process.wait(self._seconds_left()))
        except subprocess.TimeoutExpired:
            raise TimeLimitError from None

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeLimitError
        return left

    def _take(self, descriptor: int, sink: bytearray) -> bool:
        chunk = os.read(descriptor, _CHUNK)
        sink += chunk
        if sink is self._stderr:
            # The end of what a program says tells why it failed.
            del sink[:-_LONGEST_STDERR]
        return bool(chunk)

    def _ended(self, code: int, *, cut: bool = False) -> Ended:
        words = self._stderr.decode(errors="replace")
        return Ended(code, bytes(self._stdout[: self._limit]), words, cut=cut)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # Also after a normal end: a stray child of the group must not outlive the call.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
