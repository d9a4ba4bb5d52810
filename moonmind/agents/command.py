"""Use any program as the agent: it gets the prompt on stdin and edits the files of its folder."""

import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from moonmind.agents.confinement import UNCONFINED, confinement, is_within
from moonmind.agents.environment import agent_environment
from moonmind.agents.output_log import last_words
from moonmind.agents.supervised import SupervisedExit, SupervisedOrder, is_supported, run_supervised
from moonmind.agents.supervision import EndReason
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import AgentHandle, AgentOrder, AgentReport, Lease, Verdict
from moonmind.domain.states import AuditStatus

_NAME = "command"
_REMEDY = "Set SPEC_WORKFLOW_AGENT_COMMAND to a program that the worker's user may run, then restart the worker."
_SEPARATE = "Run the worker on Linux 5.19 or newer with Landlock, or on a host of its own; see docs/how-it-works.md."
# Longer than it takes with a home of millions of files, and shorter than a disk that hangs.
_LONGEST_REMOVAL_SECONDS = 120.0


class CommandAgent:
    """
    The agent that the operator names as a command line; it runs in the tree, without a shell.

    It may write in its tree and its private home alone, and read nothing in the `hidden` folders, where
    the kernel can confine it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        parent_environment: Mapping[str, str],
        wall: timedelta,
        idle: timedelta,
        hidden: Sequence[Path] = (),
    ) -> None:
        self._argv = tuple(argv)
        self._parent_environment = parent_environment
        self._wall = wall
        self._idle = idle
        self._hidden = tuple(hidden)

    @property
    def name(self) -> str:
        """The name in settings, audit rows and replies."""
        return _NAME

    @property
    def local(self) -> bool:
        """It works here and takes an agent slot."""
        return True

    @property
    def version(self) -> str:
        """The program that would run now: what any program answers to `--version` cannot be relied on."""
        return self._program() or shlex.join(self._argv)

    def check(self) -> Verdict:
        """Look for the program without running it; reads only, so repeating is safe."""
        if not is_supported():
            return _verdict(AuditStatus.FAILED, "Local agents need Linux.", "Run the worker on a Linux host.")
        if not self._argv:
            return _verdict(AuditStatus.FAILED, "No command is set for the agent.", _REMEDY)
        program = self._program()
        if program is None:
            return _verdict(AuditStatus.FAILED, f"{self._argv[0]} is not a program that can be run here.", _REMEDY)
        confined = confinement()
        if confined == UNCONFINED:
            message = f"The agent's command is {program}. This kernel has no Landlock, so nothing confines it."
            return _verdict(AuditStatus.PASSED, message, _SEPARATE)
        if is_within(Path(program), self._hidden):
            message = f"{program} lies in a folder of the service, which an agent may not read."
            return _verdict(AuditStatus.FAILED, message, "Put the agent's program somewhere else.")
        return _verdict(AuditStatus.PASSED, f"The agent's command is {program}. It is confined by {confined}.")

    def submit(self, order: AgentOrder, *, lease: Lease, started: Callable[[AgentHandle], None]) -> AgentReport:
        """
        Run the program to its end in the order's tree; see `Agent`.

        Repeating is safe with a fresh tree: when this returns or raises, none of its processes lives.
        """
        if order.tree is None:
            message = "A local agent works in a tree of its own; the order has none."
            raise ValueError(message)
        with _surroundings(order.tree.path, order.prompt) as around:
            end = run_supervised(
                SupervisedOrder(
                    argv=self._argv_to_run(),
                    cwd=order.tree.path,
                    env=agent_environment(self._parent_environment, home=around.home, temporary=around.temporary),
                    stdin_path=around.prompt,
                    log_path=order.log_path,
                    wall=self._wall,
                    idle=self._idle,
                    writable=(order.tree.path, around.root),
                    hidden=self._hidden,
                ),
                lease=lease,
                started=lambda pid: started(AgentHandle(host=socket.gethostname(), pid=pid)),
            )
        return self._report(end, order.log_path)

    def _program(self) -> str | None:
        """Find the program as the worker sees it: a relative path does not mean a file of the repository."""
        search = agent_environment(self._parent_environment, home=Path(), temporary=Path())["PATH"]
        found = shutil.which(self._argv[0], path=search) if self._argv else None
        return None if found is None else str(Path(found).absolute())

    def _argv_to_run(self) -> tuple[str, ...]:
        program = self._program()
        if program is None:
            verdict = self.check()
            raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, f"{verdict.message} {verdict.remedy}")
        return (program, *self._argv[1:])

    def _report(self, end: SupervisedExit, log: Path) -> AgentReport:
        words = last_words(log, lines=5, characters=500)
        last = f" Its last words: {words}" if words else " It said nothing."
        if end.reason is EndReason.WALL:
            detail = f"The agent was stopped after {end.seconds:.0f} seconds.{last}"
            raise WorkflowError(FailureCode.AGENT_TIMED_OUT, detail)
        if end.reason is EndReason.IDLE:
            detail = f"The agent said nothing for {self._idle.total_seconds():.0f} seconds and was stopped.{last}"
            raise WorkflowError(FailureCode.AGENT_WENT_SILENT, detail)
        if end.exit_code != 0:
            raise WorkflowError(FailureCode.AGENT_FAILED, f"The agent ended with {_said(end.exit_code)}.{last}")
        return AgentReport(exit_code=0, last_message=last_words(log, stream="stdout") or last_words(log))


@dataclass(frozen=True)
class _Surroundings:
    root: Path
    prompt: Path
    home: Path
    temporary: Path


@contextmanager
def _surroundings(tree: Path, prompt: str) -> Iterator[_Surroundings]:
    """
    Lay out what the agent needs beside its tree, so that none of it can get into the patch.

    What cannot be removed afterwards goes when the workspace drops the tree and what is beside it.
    """
    root = Path(tempfile.mkdtemp(prefix=f"{tree.name}.agent-", dir=tree.parent))
    around = _Surroundings(root=root, prompt=root / "prompt.md", home=root / "home", temporary=root / "tmp")
    around.home.mkdir()
    around.temporary.mkdir()
    around.prompt.write_text(prompt, encoding="utf-8")
    try:
        yield around
    finally:
        _remove(root)


def _remove(root: Path) -> None:
    """Remove a folder that an agent filled: it may be deeper than Python can walk and have no rights left."""
    for command in (("chmod", "-R", "u+rwX"), ("rm", "-rf")):
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*command, "--", str(root)], check=False, capture_output=True, timeout=_LONGEST_REMOVAL_SECONDS
            )


def _verdict(status: AuditStatus, message: str, remedy: str = "") -> Verdict:
    environment = {"confinement": confinement()}
    return Verdict(
        subject=_NAME, status=status, kind="program", message=message, remedy=remedy, environment=environment
    )


def _said(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    return f"signal {signal.Signals(-exit_code).name}" if -exit_code in signal.valid_signals() else f"{exit_code}"
