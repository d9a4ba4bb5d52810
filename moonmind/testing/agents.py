"""Stand in for agents and leases in tests; they refuse what the real ones refuse."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from moonmind.domain.errors import StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import (
    AgentHandle,
    AgentOrder,
    AgentReport,
    Collected,
    Lease,
    NotReady,
    Verdict,
)
from moonmind.domain.states import AuditStatus

_HOST = "test-host"
_PID = 4711
_LONGEST_HANG = 10.0


class FakeLease:
    """A lease that a test renews and loses by hand."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._lost = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[tuple[Callable[[float], None], Callable[[], None]]] = []

    @contextmanager
    def attach(self, renewed: Callable[[float], None], lost: Callable[[], None]) -> Iterator[None]:
        """See `Lease`."""
        listener = (renewed, lost)
        with self._lock:
            self._listeners.append(listener)
        if self._lost.is_set():
            lost()
        else:
            renewed(self._seconds)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def renew(self) -> None:
        """Give it its full time again; a lost lease cannot be renewed."""
        if self._lost.is_set():
            message = "A lost lease is never renewed."
            raise ValueError(message)
        for renewed, _ in self._now():
            renewed(self._seconds)

    def lose(self) -> None:
        """Take it away for good."""
        self._lost.set()
        for _, lost in self._now():
            lost()

    def _now(self) -> list[tuple[Callable[[float], None], Callable[[], None]]]:
        with self._lock:
            return list(self._listeners)


class ScriptedWork:
    """What a scripted agent can do; once its lease is lost it can do nothing, like a killed process."""

    def __init__(self, order: AgentOrder, tree: Path) -> None:
        self.prompt = order.prompt
        self.words: list[tuple[str, str]] = []
        self._tree = tree
        self._log = order.log_path
        self._killed = threading.Event()

    @property
    def killed(self) -> bool:
        """True once the lease is lost."""
        return self._killed.is_set()

    def kill(self) -> None:
        """End the agent."""
        self._killed.set()

    def read(self, path: str) -> bytes:
        """Read a file of the tree."""
        self._live()
        return (self._tree / path).read_bytes()

    def write(self, path: str, content: str) -> None:
        """Write a file of the tree."""
        self._live()
        (self._tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self._tree / path).write_text(content, encoding="utf-8")

    def say(self, line: str, *, stream: str = "stdout") -> None:
        """Add a line to the log."""
        self._live()
        self.words.append((stream, line))
        entry = {"at": datetime.now(UTC).isoformat(), "stream": stream, "line": line}
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")

    def work_until_killed(self) -> None:
        """Work on until the lease is lost."""
        self._killed.wait(_LONGEST_HANG)
        self._live()

    def run_out_of_time(self) -> None:
        """Reach the limit of time."""
        raise WorkflowError(FailureCode.AGENT_TIMED_OUT, "The agent was stopped after its time.")

    def fall_silent(self) -> None:
        """Reach the limit of silence."""
        raise WorkflowError(FailureCode.AGENT_WENT_SILENT, "The agent said nothing and was stopped.")

    def _live(self) -> None:
        if self.killed:
            raise StaleClaimError


class ScriptedAgent:
    """A local agent whose behaviour is a Python function; what the function returns is the exit code."""

    def __init__(
        self,
        script: Callable[[ScriptedWork], int | None],
        *,
        name: str = "command",
        unusable_because: str | None = None,
    ) -> None:
        self.submitted: list[AgentOrder] = []
        self._script = script
        self._name = name
        self._unusable_because = unusable_because

    @property
    def name(self) -> str:
        """The name in settings, audit rows and replies."""
        return self._name

    @property
    def local(self) -> bool:
        """It works in a tree of this host."""
        return True

    @property
    def version(self) -> str:
        """The version, for the record."""
        return "scripted 1"

    def check(self) -> Verdict:
        """Fail when the test said that it cannot be used."""
        return _verdict(self._name, self._unusable_because)

    def submit(self, order: AgentOrder, *, lease: Lease, started: Callable[[AgentHandle], None]) -> AgentReport:
        """Let the script work in the tree; see `Agent`."""
        if order.tree is None:
            message = "A local agent works in a tree of its own; the order has none."
            raise ValueError(message)
        if self._unusable_because is not None:
            raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, self._unusable_because)
        work = ScriptedWork(order, order.tree.path)
        with lease.attach(lambda _seconds: None, work.kill):
            if work.killed:
                raise StaleClaimError
            started(AgentHandle(host=_HOST, pid=_PID))
            self.submitted.append(order)
            exit_code = self._script(work) or 0
        if work.killed:
            raise StaleClaimError
        words = "\n".join(line for _, line in work.words[-20:])
        if exit_code != 0:
            raise WorkflowError(FailureCode.AGENT_FAILED, f"The agent ended with exit code {exit_code}. {words}")
        return AgentReport(exit_code=0, last_message=words)


@dataclass
class ScriptedRemoteAgent:
    """An agent that works elsewhere; a test says what it answers when it is asked for the patch."""

    answers: Mapping[str, Collected | NotReady | WorkflowError] = field(default_factory=dict)
    """By task id; a task that is not here is unknown to the service."""
    name: str = "codex_cloud"
    unusable_because: str | None = None
    submitted: list[AgentOrder] = field(default_factory=list)

    @property
    def local(self) -> bool:
        """It works elsewhere."""
        return False

    @property
    def version(self) -> str:
        """The version, for the record."""
        return "scripted 1"

    def check(self) -> Verdict:
        """Fail when the test said that it cannot be used."""
        return _verdict(self.name, self.unusable_because)

    def submit(self, order: AgentOrder, *, lease: Lease, started: Callable[[AgentHandle], None]) -> AgentReport:
        """Take the order and return at once, with the next task id."""
        if order.tree is not None:
            message = "An agent that works elsewhere has no use for a tree."
            raise ValueError(message)
        if self.unusable_because is not None:
            raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, self.unusable_because)
        self.submitted.append(order)
        task_id = f"task-{len(self.submitted)}"
        task_url = f"https://agents.example/tasks/{task_id}"
        started(AgentHandle(host=_HOST, task_id=task_id, task_url=task_url))
        return AgentReport(task_id=task_id, task_url=task_url)

    def collect(self, task_id: str) -> Collected | NotReady:
        """Answer as the test said; see `RemoteAgent`."""
        if task_id not in self.answers:
            raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, f"The service knows no task {task_id}.")
        answer = self.answers[task_id]
        if isinstance(answer, WorkflowError):
            raise answer
        return answer


def _verdict(name: str, unusable_because: str | None) -> Verdict:
    if unusable_because is None:
        return Verdict(subject=name, status=AuditStatus.PASSED, kind="program", message="It can be used.")
    return Verdict(
        subject=name,
        status=AuditStatus.FAILED,
        kind="program",
        message=unusable_because,
        remedy="Set SPEC_WORKFLOW_AGENT_COMMAND to a program that can be run.",
    )
