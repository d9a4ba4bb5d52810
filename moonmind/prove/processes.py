"""Start the processes of a stack, break them on purpose, and start again what ended, as a service manager would."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.prove import bound
from moonmind.prove.folder import ProofFolder

_LOOK_SECONDS = 0.05
_RESTART_SECONDS = 0.2
_LOG_LINES = 15
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Command:
    """How one process is started, each time anew."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    user: str | None = None


class Supervised:
    """One process that is started again whenever it ends, unless it is held down."""

    def __init__(self, command: Command, folder: ProofFolder) -> None:
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._held = False
        self._asked_to_end = False
        self.ended_by_itself: list[int] = []

    @property
    def name(self) -> str:
        """The name in reports."""
        return self._command.name

    @property
    def pid(self) -> int:
        """The process id of its present life; -1 while it is down."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else -1

    def start(self) -> None:
        """Begin a life."""
        with self._lock:
            argv = [sys.executable, "-I", "-S", bound.__file__, str(os.getpid()), self._command.user or "-"]
            with self._folder.log(self.name).open("ab") as log:
                self._process = subprocess.Popen(
                    [*argv, *self._command.argv],
                    cwd=self._folder.path,
                    env=dict(self._command.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._asked_to_end = False

    def start_again_if_ended(self) -> None:
        """Begin a new life where the last one is over."""
        with self._lock:
            if self._held or self._process is None or self._process.poll() is None:
                return
            if not self._asked_to_end:
                self.ended_by_itself.append(self._process.returncode)
        time.sleep(_RESTART_SECONDS)
        with self._lock:
            if not self._held:
                self.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; what it started lives on as it would in a crash."""
        with self._lock:
            self._asked_to_end = self._asked_to_end or number not in {signal.SIGSTOP, signal.SIGCONT}
            if self._process is not None:
                self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would; returns when it is gone."""
        with self._lock:
            self._asked_to_end = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def end(self) -> None:
        """Kill it with everything that belongs to its group, for good."""
        with self._lock:
            self._held = True
            if self._process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    @contextmanager
    def held_down(self, number: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """End it, and start it again only when the context closes."""
        with self._lock:
            self._held = True
            self.send(number)
            self._wait_for_end()
        try:
            yield
        finally:
            with self._lock:
                self._held = False
                self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop it as a suspended machine would, and let it go on when the context closes."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def wait_for_new_life(self, after: int, *, seconds: float) -> bool:
        """Wait until another process than the given one runs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.pid not in {after, -1}:
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self._folder.log(self.name).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def _wait_for_end(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Watches over all processes of a stack from one thread."""

    def __init__(self) -> None:
        self._processes: list[Supervised] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def watch(self, process: Supervised) -> Supervised:
        """Start a process and keep it alive from now on."""
        process.start()
        self._processes.append(process)
        if not self._thread.is_alive():
            self._thread.start()
        return process

    def end_all(self) -> None:
        """Kill everything, the youngest first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for process in reversed(self._processes):
            process.end()

    def ended_by_themselves(self) -> Mapping[str, Sequence[int]]:
        """Return the exit statuses of processes that ended although no fault asked them to."""
        return {process.name: process.ended_by_itself for process in self._processes if process.ended_by_itself}

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for process in list(self._processes):
                process.start_again_if_ended()


def wait_until(ready: Callable[[], bool], process: Supervised, *, seconds: float) -> None:
    """Wait for a process to be of use; raises `proof_not_possible` with its last words."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            detail = f"{process.name} was not ready after {seconds:.0f} s. Its last words:\n{process.last_words()}"
            raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, detail)
        time.sleep(_LOOK_SECONDS)
