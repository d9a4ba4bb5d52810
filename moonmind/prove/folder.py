"""Know what a proof keeps in its temporary folder."""

import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProofFolder:
    """The folder of one proof; `data` is the data folder of the services that it breaks."""

    path: Path

    @property
    def data(self) -> Path:
        """The data folder of all services of the stack."""
        return self.path / "data"

    @property
    def forge_root(self) -> Path:
        """The bare repositories, with their pull requests beside them."""
        return self.path / "forge"

    @property
    def remote_socket(self) -> Path:
        """Where the stand-in remote listens."""
        return self.path / "remote.sock"

    @property
    def remote_ledger(self) -> Path:
        """What the stand-in remote wrote down."""
        return self.path / "remote.db"

    def log(self, name: str) -> Path:
        """Return where one process writes what it says, over all its lives."""
        return self.path / f"{name}.log"


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
