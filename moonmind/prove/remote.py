"""
Stand in for an agent's remote: work that is done by others, counted, and never done again for free.

It is run by path as a process of its own, which no fault touches, so it needs nothing but the standard
library. Each submission gets a new number and, with it, another result; nothing here is idempotent.
An agent lives as long as its connection: the kernel closes that with the process, however it ends.
"""

import argparse
import json
import selectors
import socket
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS submissions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        marker TEXT NOT NULL,
        base TEXT NOT NULL,
        overlaps TEXT
    )
"""
# In seconds. Most work is short, so that a proof gets on; some outlasts the lease, so that an agent
# which is not killed with its worker is still alive when its successor begins.
_SHORT = (0.1, 0.8)
_LONG = (5.5, 7.5)
_LONG_SHARE = 0.12


@dataclass(frozen=True)
class _Agent:
    """One connected agent and the run it works for."""

    connection: socket.socket
    run: str
    marker: str

    @property
    def lives(self) -> bool:
        """True while the process at the other end has not ended: an agent sends one line and then only waits."""
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False


class Remote:
    """Accepts submissions and writes each of them down before it answers."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - how long work takes, the same for the same seed
        self._ledger = sqlite3.connect(folder / "remote.db", isolation_level=None)
        self._ledger.execute("PRAGMA journal_mode = WAL")
        self._ledger.execute(_SCHEMA)
        self._selector = selectors.DefaultSelector()
        self._agents: dict[socket.socket, _Agent] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "remote.sock"))
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until killed."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._selector.register(connection, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)

    def _read(self, connection: socket.socket) -> None:
        try:
            # A submission is far smaller than the buffer of a local socket, so it comes in one piece.
            line = connection.recv(64 * 1024)
        except ConnectionError:
            line = b""
        if line and connection not in self._agents:
            self._submit(connection, json.loads(line))
        elif not line:
            self._agents.pop(connection, None)
            self._selector.unregister(connection)
            connection.close()

    def _submit(self, connection: socket.socket, order: dict[str, str]) -> None:
        agent = _Agent(connection, order["run"], order["marker"])
        alive = (other for other in self._agents.values() if other.run == agent.run and other.lives)
        overlaps = next((other.marker for other in alive), None)
        self._agents[connection] = agent
        values = (agent.run, agent.marker, order["base"], overlaps)
        done = self._ledger.execute("INSERT INTO submissions (run, marker, base, overlaps) VALUES (?, ?, ?, ?)", values)
        shortest, longest = _LONG if self._random.random() < _LONG_SHARE else _SHORT
        answer = {"number": done.lastrowid, "seconds": round(self._random.uniform(shortest, longest), 3)}
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except ConnectionError:
            # It died meanwhile; the submission counts all the same.
            return


def main(argv: Sequence[str] | None = None) -> None:
    """Serve submissions in a folder."""
    parser = argparse.ArgumentParser(description="Stand in for an agent's remote.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    Remote(arguments.folder, arguments.seed).serve()


if __name__ == "__main__":
    main()
