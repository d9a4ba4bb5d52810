"""Know what a demonstration keeps on disk, so that the next one goes on from it."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

# The service of an interrupted demonstration needs some seconds to stop.
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class DemoFolder:
    """The data folder of the demonstration's service, and what the demonstration adds to it."""

    path: Path

    @property
    def forge_root(self) -> Path:
        """The folder of the bare repositories."""
        return self.path / "forge"

    @property
    def log(self) -> Path:
        """What the service of the last demonstration said."""
        return self.path / "service.log"

    @property
    def token(self) -> str:
        """The operator's token; the service writes it when it starts."""
        return (self.path / "operator.token").read_text(encoding="utf-8").strip()

    @property
    def last_port(self) -> int | None:
        """The port on which the service answered last, None before the first time."""
        file = self.path / "server.json"
        if not file.exists():
            return None
        url = str(json.loads(file.read_text(encoding="utf-8"))["url"])
        return int(url.rsplit(":", 1)[1])

    @contextmanager
    def alone(self, *, waiting: Callable[[], None]) -> Iterator[int]:
        """
        Hold the folder against other demonstrations; yields the lock's descriptor.

        A process that gets a copy of the descriptor holds the folder as well, until it ends.
        Calls `waiting` once when another one is there; raises `demo_not_possible` when it stays.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "demo.lock").open("w") as file:
            if not _lock(file.fileno()):
                waiting()
                self._wait_for(file.fileno())
            yield file.fileno()

    def _wait_for(self, descriptor: int) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                raise WorkflowError(FailureCode.DEMO_NOT_POSSIBLE, f"Another demonstration still runs in {self.path}.")
            time.sleep(_LOOK_SECONDS)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
