"""
Run one agent so that nothing of it outlives the lease it works under.

`moonmind.agents.supervised` starts this in a process and session of its own. It has one thread, the
standard library, and of the worker three pipe ends and no other file.

- stdin: the order as one line, then lines `lease BOOTTIME` (it holds until then), `go` (start the agent)
  and `lost` (end it). End of file means that the worker is dead.
- stdout and stderr: one `EndReport`; anything else is a traceback.

The log is written here and not in the worker, since an agent that finds its output pipe closed may
die of it in the middle of an edit; this process is there for as long as the agent is.
"""

import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moonmind.agents.confinement import Ruleset, landlock_version
from moonmind.agents.output_log import OutputLog, OutputStream
from moonmind.agents.processes import adopt_orphans, bind_to_launcher, kill_children
from moonmind.agents.supervision import GO, LEASE, EndReason, EndReport, LaunchOrder, boot_time

# Killing takes a moment, so it begins this many seconds before the lease ends.
_LEASE_MARGIN = 0.5
# The kernel's wait does not count the time a machine sleeps, the lease does. So look at least this often.
_LONGEST_WAIT = 1.0
_DRAIN_SECONDS = 2.0
_CHUNK = 64 * 1024
_NOT_CONFINED = "Not confined: this kernel has no Landlock, so the agent may read and write what the worker may."


class Worker:
    """What the worker told us: the order, how long its lease holds, whether it still wants the agent."""

    def __init__(self) -> None:
        self.order: LaunchOrder | None = None
        self.lease_until = math.inf
        self.go = False
        self.gone: EndReason | None = None
        self._buffer = b""

    def read(self) -> None:
        """Take the messages that are there."""
        chunk = os.read(sys.stdin.fileno(), _CHUNK)
        if not chunk:
            self.gone = self.gone or EndReason.LEASE_ENDED
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            self._obey(line)

    def cancel(self, *_signal: object) -> None:
        """Have everything ended; also the answer to SIGTERM, which service managers send to whole groups."""
        self.gone = EndReason.CANCELLED

    def _obey(self, line: bytes) -> None:
        if self.order is None:
            self.order = LaunchOrder.from_line(line)
        elif line.startswith(LEASE):
            self.lease_until = float(line.removeprefix(LEASE))
        elif line == GO.strip() and self.lease_until < math.inf:
            self.go = True
        else:
            self.cancel()


class Launcher:
    """Waits for the first of: the agent's end, a limit, the end of the lease."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._wake = _wake_on_signals(worker)
        self._begun = self._last_output = boot_time()
        self._outputs: list[OutputStream] = []
        self._pid = -1
        self._exit_code: int | None = None

    def run(self) -> EndReport:
        """Run the agent to its end; no descendant of this process is left afterwards, however it ended."""
        order = self._wait_for_go()
        if order is None:
            return self._report(self._worker.gone or EndReason.LEASE_ENDED)
        try:
            log = OutputLog(Path(order.log), order.log_limit)
            return self._supervise(order, log)
        except OSError as error:
            return self._report(EndReason.LOG_FAILED, str(error))
        finally:
            self._kill_all()

    def _wait_for_go(self) -> LaunchOrder | None:
        while self._worker.gone is None and boot_time() < self._lease_end():
            if self._worker.go:
                return self._worker.order
            self._wait(self._lease_end())
        return None

    def _supervise(self, order: LaunchOrder, log: OutputLog) -> EndReport:
        try:
            self._start(order, log)
        except (OSError, subprocess.SubprocessError) as error:
            log.close()
            return self._report(EndReason.NOT_STARTED, str(error))
        while (reason := self._why_end(order)) is None:
            self._wait(min(self._lease_end(), self._begun + order.wall, self._last_output + order.idle))
            self._reap()
        exit_code = self._exit_code
        self._kill_all()
        self._exit_code = exit_code
        self._drain()
        log.close()
        return self._report(reason)

    def _start(self, order: LaunchOrder, log: OutputLog) -> None:
        self._begun = self._last_output = boot_time()
        with Path(order.stdin).open("rb") as stdin, _confining(order, log) as confine:
            agent = subprocess.Popen(
                list(order.argv),
                cwd=order.cwd,
                env=dict(order.env),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Away from us: an agent that signals its own group does not hit its launcher.
                start_new_session=True,
                preexec_fn=confine,  # noqa: PLW1509 - one thread, so no lock can be held by another.
            )
        self._pid = agent.pid
        # `_reap` takes all children, so Popen must not wait for this one by itself.
        agent.returncode = 0
        self._outputs = [
            OutputStream(name, pipe, log)
            for name, pipe in (("stdout", agent.stdout), ("stderr", agent.stderr))
            if pipe is not None
        ]

    def _why_end(self, order: LaunchOrder) -> EndReason | None:
        now = boot_time()
        if self._worker.gone is not None:
            return self._worker.gone
        if now >= self._lease_end():
            return EndReason.LEASE_ENDED
        if self._exit_code is not None:
            return EndReason.EXITED
        if now >= self._begun + order.wall:
            return EndReason.WALL
        return EndReason.IDLE if now >= self._last_output + order.idle else None

    def _lease_end(self) -> float:
        return self._worker.lease_until - _LEASE_MARGIN

    def _wait(self, deadline: float) -> None:
        outputs = {output.fileno(): output for output in self._outputs if output.open}
        poll = select.poll()
        for fd in (self._wake, sys.stdin.fileno(), *outputs):
            poll.register(fd, select.POLLIN)
        seconds = max(0.0, min(deadline - boot_time(), _LONGEST_WAIT))
        for fd, _ in poll.poll(math.ceil(seconds * 1000)):
            if fd == self._wake:
                os.read(fd, _CHUNK)
            elif fd == sys.stdin.fileno():
                self._worker.read()
            elif outputs[fd].read():
                self._last_output = boot_time()

    def _reap(self) -> bool:
        """Take the ended children, adopted ones too; False when there is no child at all."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._pid:
                    self._exit_code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return False

    def _kill_all(self) -> None:
        """Kill until there is no child: a subreaper adopts every orphan, so then there is no descendant either."""
        while self._reap():
            kill_children()
            time.sleep(0.002)

    def _drain(self) -> None:
        # All writers are dead. The limit is for an agent that passed its pipe on to a process that is not ours.
        deadline = boot_time() + _DRAIN_SECONDS
        for output in self._outputs:
            while output.open and boot_time() < deadline and output.read():
                pass
            if output.open:
                output.close()

    def _report(self, reason: EndReason, detail: str = "") -> EndReport:
        return EndReport(reason, self._exit_code, round(boot_time() - self._begun, 3), detail)


@contextmanager
def _confining(order: LaunchOrder, log: OutputLog) -> Iterator[Callable[[], None]]:
    """Yield what the agent's process does before it becomes the agent."""
    if not order.writable:
        yield bind_to_launcher
        return
    if not landlock_version():
        log.add("launcher", note=_NOT_CONFINED)
        log.flush()
        yield bind_to_launcher
        return
    ruleset = Ruleset(writable=order.writable, hidden=order.hidden)

    def confine() -> None:
        bind_to_launcher()
        ruleset.enter()

    try:
        yield confine
    finally:
        ruleset.close()


def _wake_on_signals(worker: Worker) -> int:
    """Return a descriptor that becomes readable when a child ended or somebody asked us to stop."""
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, worker.cancel)
    # The mask of the worker's thread was inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return wake


def main() -> None:
    """Obey one worker, run one agent, report once."""
    adopt_orphans()
    report = Launcher(Worker()).run()
    # When the worker is dead there is nobody to tell.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), report.to_line())
