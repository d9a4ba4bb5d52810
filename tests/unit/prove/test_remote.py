"""The stand-in remote counts every submission, and knows whether an agent still lives."""

import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind.prove import remote

RUN = "00000000-0000-0000-0000-000000000007"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's: a socket's path may have no more than about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="mm-remote-") as name:
        path = Path(name)
        argv = [sys.executable, "-I", "-S", remote.__file__, name]
        with subprocess.Popen(argv) as process:
            deadline = time.monotonic() + 10
            while not (path / "remote.sock").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            yield path
            process.kill()


def submit(folder: Path, number: int) -> tuple[socket.socket, int]:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / "remote.sock"))
    order = {"run": RUN, "marker": f"marker-{number}", "base": "b" * 40}
    connection.sendall(json.dumps(order).encode() + b"\n")
    answer = json.loads(connection.recv(1000))
    return connection, int(answer["number"])


def overlaps(folder: Path) -> list[str | None]:
    ledger = sqlite3.connect(folder / "remote.db")
    found = [row[0] for row in ledger.execute("SELECT overlaps FROM submissions ORDER BY number")]
    ledger.close()
    return found


def test_the_same_run_gets_another_number_each_time(folder: Path) -> None:
    for number in (1, 2):
        connection, given = submit(folder, number)
        connection.close()
        assert given == number
    assert overlaps(folder) == [None, None]


def test_a_submission_beside_a_living_agent_is_written_down(folder: Path) -> None:
    first, _ = submit(folder, 1)
    second, _ = submit(folder, 2)
    first.close()
    second.close()
    assert overlaps(folder) == [None, "marker-1"]
