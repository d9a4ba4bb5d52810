"""Run a RabbitMQ node of its own, apart from any that the host may have."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import kombu
from kombu.exceptions import OperationalError

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.prove.folder import ProofFolder, free_port
from moonmind.prove.processes import Command, Supervised, Supervisor, wait_until

_START_SECONDS = 90.0
_QUEUE = "codex"
# The program on PATH may be a wrapper that changes the user; the real one is here on Debian.
_UNWRAPPED = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@dataclass
class RabbitBroker:
    """A running RabbitMQ."""

    process: Supervised
    url: str

    def flush(self) -> None:
        """Drop every queued message."""
        with kombu.Connection(self.url, connect_timeout=5) as connection, connection.channel() as channel:
            kombu.Queue(_QUEUE, durable=True, channel=channel).purge()


def start_rabbitmq(folder: ProofFolder, supervisor: Supervisor, surroundings: Mapping[str, str]) -> RabbitBroker:
    """Start a node on free ports of the loopback address; raises `proof_not_possible` where there is none."""
    server, names = _program(_UNWRAPPED, surroundings), _program(Path("/usr/bin/epmd"), surroundings)
    port = free_port()
    home = folder.path / "rabbitmq"
    home.mkdir()
    (home / "enabled_plugins").write_text("[].\n")
    (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    environment = _environment(home, surroundings)
    # The node would start a name server that outlives it; this one ends with the proof.
    supervisor.watch(Supervised(Command("broker-names", [names], environment), folder))
    process = supervisor.watch(Supervised(Command("broker", [server], environment), folder))
    broker = RabbitBroker(process, f"amqp://guest:guest@127.0.0.1:{port}//")
    wait_until(lambda: _answers(broker.url), process, seconds=_START_SECONDS)
    return broker


def _program(place: Path, surroundings: Mapping[str, str]) -> str:
    if place.exists():
        return str(place)
    found = shutil.which(place.name, path=surroundings.get("PATH"))
    if found is None:
        detail = f"There is no {place.name}: install RabbitMQ and Erlang, for instance the package rabbitmq-server."
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, detail)
    return found


def _environment(home: Path, surroundings: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "PATH": surroundings.get("PATH", ""),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "proof@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        # The script then turns into the node instead of waiting for it, so a fault hits the node.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def _answers(url: str) -> bool:
    try:
        with kombu.Connection(url, connect_timeout=5) as connection:
            connection.connect()
    except (OperationalError, OSError):
        return False
    return True
