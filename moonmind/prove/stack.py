"""Hold the stack that a proof breaks: its services, and the broker and database that it may have."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import httpx

from moonmind.prove import agent
from moonmind.prove.folder import ProofFolder, free_port
from moonmind.prove.processes import Command, Supervised, Supervisor

LEASE_SECONDS = 4.0
_ROOT = Path(agent.__file__).parents[2]
# Whatever else is set belongs to another service: its database, its broker, its tokens.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


class BrokerServer(Protocol):
    """A message broker that a proof may break."""

    process: Supervised
    url: str

    def flush(self) -> None:
        """Drop every queued message."""


class DatabaseServer(Protocol):
    """A database server that a proof may break."""

    process: Supervised
    url: str

    def sessions(self) -> Sequence[int]:
        """Return the process ids of the server's sessions."""


@dataclass
class Stack:
    """A running stack; `workers` are the processes that claim stages."""

    folder: ProofFolder
    supervisor: Supervisor
    url: str
    token: Callable[[], str]
    database_url: str
    workers: Sequence[Supervised]
    api: Supervised
    broker: BrokerServer | None = None
    database: DatabaseServer | None = None

    def holder(self, owner: str) -> Supervised | None:
        """Return the process that owns claims under this id: the file of its lock names it."""
        try:
            pid = _pid_in(self.folder.data / "holders" / f"{owner}.holder")
        except FileNotFoundError:
            return None
        return next((worker for worker in self.workers if worker.pid == pid), None)

    def holders(self) -> Iterator[int]:
        """Yield the process ids that hold a lock file now."""
        for file in (self.folder.data / "holders").glob("*.holder"):
            with suppress(FileNotFoundError):
                yield _pid_in(file)

    def is_ready(self) -> bool:
        """Ask the API whether it can serve."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2, trust_env=False).status_code == HTTPStatus.OK
        except httpx.HTTPError:
            return False


def service_environment(folder: ProofFolder, surroundings: Mapping[str, str], *, url: str) -> Mapping[str, str]:
    """Return the settings of every service: everything local, and short times, so that recovery takes seconds."""
    command = [sys.executable, "-I", "-S", agent.__file__, str(folder.remote_socket)]
    return {
        **{name: surroundings[name] for name in _KEPT if name in surroundings},
        "HOME": str(folder.path),
        "TMPDIR": str(folder.path),
        "PYTHONPATH": str(_ROOT),
        "MOONMIND_DATA_DIR": str(folder.data),
        "MOONMIND_PUBLIC_URL": url,
        "SPEC_WORKFLOW_FORGE": "local",
        "SPEC_WORKFLOW_LOCAL_FORGE_ROOT": str(folder.forge_root),
        "SPEC_WORKFLOW_AGENT": "command",
        "SPEC_WORKFLOW_AGENT_COMMAND": shlex.join(command),
        "SPEC_WORKFLOW_STAGE_LEASE_SECONDS": str(LEASE_SECONDS),
        "SPEC_WORKFLOW_HEARTBEAT_SECONDS": "1",
        "SPEC_WORKFLOW_SWEEP_SECONDS": "0.2",
        "SPEC_WORKFLOW_PENDING_GRACE_SECONDS": "8",
        "SPEC_WORKFLOW_POLL_SECONDS": "1",
        "SPEC_WORKFLOW_SUBMIT_IDLE_SECONDS": "30",
        "SPEC_WORKFLOW_SUBMIT_TIMEOUT_SECONDS": "60",
        "MOONMIND_LOG_FORMAT": "json",
    }


def moonmind_command(name: str, *arguments: str, environment: Mapping[str, str]) -> Command:
    """Return the command of one service."""
    # -P keeps the folder it runs in from offering modules of its own.
    start = [sys.executable, "-P", "-c", "from moonmind.cli.main import main; main()", *arguments]
    return Command(name, start, environment)


def _pid_in(holder: Path) -> int:
    """Read the process id from a lock file: its last line; 0 before it is written."""
    lines = holder.read_text().split()
    return int(lines[-1]) if lines else 0


def local_url() -> str:
    """Return an address for an API on this host."""
    return f"http://127.0.0.1:{free_port()}"
