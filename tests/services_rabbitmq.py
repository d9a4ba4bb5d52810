"""Start one RabbitMQ for the whole test session; tests may kill it and start it again."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest

# Not in tests/skips.txt: `.ci/run` installs the server, so there this skip is a failure.
NO_RABBITMQ = "no RabbitMQ server is installed (Debian: rabbitmq-server)"
# Not the wrapper on PATH, which as root would change to another user, who cannot enter our folder.
_EXECUTABLE = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_SECONDS = 50.0


class RabbitmqServer:
    """A node of its own on free ports of the loopback address; nothing is shared with an installed service."""

    def __init__(self, executable: Path, folder: Path) -> None:
        self._executable = executable
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self._distribution_port, self._names_port = (_free_port() for _ in range(3))
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            # The disk of whoever runs the tests may be almost full.
            "disk_free_limit.absolute = 1MB\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")

    @property
    def url(self) -> str:
        """The address, in the form that Celery takes."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it on the same port and with the same durable queues as before, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._executable], env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_it_answers()

    def kill(self) -> None:
        """Kill it at once; what is not on its disk is lost."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=10)
            self._process = None

    def stop(self) -> None:
        """End the node, and the name server that Erlang left in the background for it."""
        self.kill()
        command = ["epmd", "-port", str(self._names_port), "-kill"]
        # It refuses until it has noticed that the node is gone.
        for _ in range(50):
            if b"Killed" in subprocess.run(command, capture_output=True, check=False).stdout:
                return
            time.sleep(0.1)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}",
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_NODENAME": f"moonmind-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            # One scheduler that does not spin: the cores belong to the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            connection = amqp.Connection(host=f"127.0.0.1:{self.port}", connect_timeout=5)
            try:
                connection.connect()
            except (OSError, amqp.AMQPError):
                assert self._process is not None
                if time.monotonic() > deadline or self._process.poll() is not None:
                    pytest.fail(f"RabbitMQ does not answer: {(self._folder / 'log').read_text()[-3000:]}")
                time.sleep(0.1)
            else:
                connection.close()
                return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitmqServer]:
    """A running RabbitMQ; a test that kills it starts it again. The first that asks for it waits for some seconds."""
    if not _EXECUTABLE.exists() or shutil.which("epmd") is None:
        pytest.skip(NO_RABBITMQ)
    server = RabbitmqServer(_EXECUTABLE, tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    yield server
    server.stop()
