"""Describe an agent: something that turns a prompt into a change."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from moonmind.domain.ports.forge import Checked
from moonmind.domain.ports.workspace import AgentTree
from moonmind.domain.results import TokenUsage


class Lease(Protocol):
    """The hold on a stage; a local agent lives only as long as it is renewed."""

    def attach(self, renewed: Callable[[float], None], lost: Callable[[], None]) -> AbstractContextManager[None]:
        """
        Call `renewed(seconds left)` at once and at each renewal, `lost()` when it is gone.

        Both are called from the heartbeat's thread and must not block.
        """


@dataclass(frozen=True)
class AgentOrder:
    """One submission; the log file is written while the agent works."""

    marker: str
    prompt: str
    base_branch: str
    base_sha: str
    log_path: Path
    tree: AgentTree | None
    """The agent's own tree; None for an agent that works elsewhere."""


@dataclass(frozen=True)
class AgentReport:
    """How the agent took or finished the work; `task_id` is set by those that work elsewhere."""

    task_id: str | None = None
    task_url: str | None = None
    exit_code: int | None = None
    last_message: str = ""
    failed_commands: int = 0
    usage: TokenUsage | None = None


@dataclass(frozen=True)
class AgentHandle:
    """Facts about a started agent that must be stored before it does any work."""

    host: str
    pid: int | None = None
    thread_id: str | None = None
    task_id: str | None = None
    task_url: str | None = None


class Agent(Checked, Protocol):
    """Something that turns a prompt into a change."""

    @property
    def local(self) -> bool:
        """True when it works on this host, in a tree of its own, and takes an agent slot."""

    @property
    def version(self) -> str:
        """The version, for the record."""

    def submit(self, order: AgentOrder, *, lease: Lease, started: Callable[[AgentHandle], None]) -> AgentReport:
        """
        Hand the work over; a local agent returns when it has finished.

        `started` stores where it runs, as soon as that is known. Raises `agent_failed`,
        `agent_timed_out`, `agent_went_silent`, or `StaleClaimError` when the lease was lost;
        no process of a local agent is left in any case.
        """


@dataclass(frozen=True)
class Collected:
    """The patch of an agent that worked elsewhere."""

    patch: bytes
    report: AgentReport


@dataclass(frozen=True)
class NotReady:
    """The agent is still at work; ask again after a while."""

    after: timedelta


@runtime_checkable
class RemoteAgent(Agent, Protocol):
    """An agent that works elsewhere: `submit` returns at once, and its patch is asked for later."""

    def collect(self, task_id: str) -> Collected | NotReady:
        """
        Ask for the patch of a task; reads only, so repeating is safe.

        Raises `agent_failed` when the task failed or was stopped, and `agent_unavailable` when the
        service does not answer or knows no such task.
        """
