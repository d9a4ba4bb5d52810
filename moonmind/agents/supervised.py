"""Run a local agent under a launcher, from any thread of a worker, for as long as the lease lasts."""

import os
import select
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from moonmind.agents import launcher
from moonmind.agents.processes import LAUNCH_VARIABLE, hide_from_agents, kill_launched
from moonmind.agents.supervision import GO, LOST, EndReason, EndReport, LaunchOrder, boot_time, lease_line
from moonmind.domain.errors import StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Lease

# Without site packages and without the environment a start takes a twentieth of a second.
_ISOLATED = ("-I", "-S", "-X", "utf8", "-c")
_BOOT = f"import sys; sys.path.append(sys.argv[1]); from {launcher.__name__} import main; main()"
_ROOT = Path(launcher.__file__).parents[len(launcher.__name__.split(".")) - 1]
_TICK_MILLISECONDS = 250
# Killing takes milliseconds; a launcher that needs longer than this is paused or hangs on a dead disk.
_PATIENCE = 10.0
_OUTPUT_LIMIT = 64 * 1024


@dataclass(frozen=True)
class SupervisedOrder:
    """
    What to run; what it says goes to the JSON lines file at `log_path`, of `log_limit` bytes at most.

    With `writable` folders it can write nowhere else and read nothing in the `hidden` ones, where the
    kernel can confine it; where it cannot, the log says so.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdin_path: Path
    log_path: Path
    wall: timedelta
    idle: timedelta
    log_limit: int = 64 * 1024 * 1024
    writable: Sequence[Path] = ()
    hidden: Sequence[Path] = ()


@dataclass(frozen=True)
class SupervisedExit:
    """How the agent ended: by itself, or at a limit; a negative exit code is a signal."""

    reason: EndReason
    exit_code: int | None
    seconds: float


def is_supported() -> bool:
    """Tell whether this system lets a process adopt its orphans; only Linux does."""
    return sys.platform == "linux"


def run_supervised(
    order: SupervisedOrder,
    *,
    lease: Lease,
    started: Callable[[int], None],
    watch: Callable[[], None] = lambda: None,
) -> SupervisedExit:
    """
    Run the program to its end and leave none of its processes, whatever happens here.

    `started` gets the launcher's process id before the program begins; when it raises, nothing
    begins. `watch` is called about four times a second while the program runs, and once after its end.

    Repeating is safe once the lease of the call before has ended: nothing of that call lives then.

    Raises `StaleClaimError` when the lease was lost or ran out, `agent_unavailable` when the program
    cannot be started, `artifact_store_unavailable` when the log cannot be written, and `agent_failed`
    when the launcher itself was killed.
    """
    if not is_supported():
        raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, "Local agents need Linux, which can adopt orphans.")
    hide_from_agents()
    launch = uuid.uuid4().hex
    process = _start_launcher()
    leash = _Leash(_pipe(process.stdin))
    output = b""
    try:
        leash.send(_launch_order(order, launch).to_line())
        with lease.attach(leash.renewed, leash.lost):
            leash.check()
            started(process.pid)
            leash.send(GO)
            output = _read_output(_pipe(process.stdout), leash, watch)
    finally:
        leash.close()
        _end_launcher(process, launch)
    report = EndReport.from_output(output)
    leash.check()
    watch()
    return _judge(report, output)


class _Leash:
    """
    The worker's end of the launcher's stdin; the heartbeat's thread and ours both write to it.

    Closing it ends the agent, and so does the death of this process.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.lost_at: float | None = None

    def send(self, message: bytes) -> None:
        """Write a message; a launcher that has ended is noticed elsewhere."""
        with self._lock:
            self._write(message)

    def renewed(self, seconds: float) -> None:
        """Pass a renewal on, as a point in time."""
        until = boot_time() + seconds
        with self._lock:
            # A launcher that is paused lets the pipe fill up; the heartbeat must not wait for it.
            if self._has_room():
                self._write(lease_line(until))

    def lost(self) -> None:
        """Have the launcher end the agent now."""
        self.lost_at = time.monotonic()
        self.send(LOST)
        # A process that was forked from this one without an exec may hold the other copies.
        self.close()

    def check(self) -> None:
        """Raise `StaleClaimError` when the lease was lost."""
        if self.lost_at is not None:
            raise StaleClaimError

    def close(self) -> None:
        """Let the launcher see the end of file."""
        with self._lock:
            self._pipe.close()

    def _has_room(self) -> bool:
        if self._pipe.closed:
            return False
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        return bool(poll.poll(0))

    def _write(self, message: bytes) -> None:
        with suppress(BrokenPipeError):
            while message and not self._pipe.closed:
                message = message[self._pipe.write(message) :]


def _start_launcher() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, *_ISOLATED, _BOOT, str(_ROOT)],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            # A Ctrl-C at the worker's terminal is not for the launcher: the worker decides.
            start_new_session=True,
        )
    except OSError as error:
        raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, f"The launcher could not be started: {error}") from error


def _launch_order(order: SupervisedOrder, launch: str) -> LaunchOrder:
    return LaunchOrder(
        argv=list(order.argv),
        cwd=str(order.cwd),
        env={**order.env, LAUNCH_VARIABLE: launch},
        stdin=str(order.stdin_path),
        log=str(order.log_path),
        wall=order.wall.total_seconds(),
        idle=order.idle.total_seconds(),
        log_limit=order.log_limit,
        writable=[str(folder) for folder in order.writable],
        hidden=[str(folder) for folder in order.hidden],
    )


def _read_output(pipe: IO[bytes], leash: _Leash, watch: Callable[[], None]) -> bytes:
    """Read until the launcher ends, or does not although the lease is lost."""
    output = b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while leash.lost_at is None or time.monotonic() < leash.lost_at + _PATIENCE:
        if poll.poll(_TICK_MILLISECONDS):
            chunk = os.read(pipe.fileno(), _OUTPUT_LIMIT)
            if not chunk:
                break
            output = (output + chunk)[-_OUTPUT_LIMIT:]
        else:
            watch()
    return output


def _end_launcher(process: subprocess.Popen[bytes], launch: str) -> None:
    try:
        code = process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    finally:
        _pipe(process.stdout).close()
    # It ended without having killed everything, or cannot be trusted to have.
    if code != 0 and not kill_launched(launch, patience=_PATIENCE):
        raise WorkflowError(FailureCode.AGENT_FAILED, "Processes of the agent could not be killed on this host.")


def _judge(report: EndReport | None, output: bytes) -> SupervisedExit:
    if report is None:
        words = output.decode(errors="replace").strip()[-500:]
        raise WorkflowError(FailureCode.AGENT_FAILED, f"The launcher of the agent was killed. {words}".strip())
    match report.reason:
        case EndReason.LEASE_ENDED | EndReason.CANCELLED:
            # A signal to the launcher is a deployment that stops everything; the stage is taken over.
            raise StaleClaimError
        case EndReason.NOT_STARTED:
            detail = f"The agent could not be started: {report.detail}"
            raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, detail)
        case EndReason.LOG_FAILED:
            raise WorkflowError(
                FailureCode.ARTIFACT_STORE_UNAVAILABLE, f"The agent's log could not be written: {report.detail}"
            )
        case _:
            return SupervisedExit(report.reason, report.exit_code, report.seconds)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        message = "The launcher is always started with pipes."
        raise TypeError(message)
    return pipe
