"""A broker that loses, doubles, reorders and refuses messages, in front of the real relay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError as BrokerError

from api_service.db.session import Database
from moonmind.dispatch.outbox import Relay
from moonmind.dispatch.recovery import Sweep
from moonmind.domain.claims import StageMessage
from moonmind.domain.states import Stage
from moonmind.testing.artifacts import InMemoryArtifactStore
from moonmind.workflows.speckit_celery.services import StageTiming

GRACE = timedelta(seconds=60)


@dataclass(frozen=True)
class ChainMessage:
    """One message and the part of its chain that follows it."""

    run_id: UUID
    epoch: int
    stages: tuple[Stage, ...]

    @property
    def head(self) -> StageMessage:
        """The stage that the message starts."""
        return StageMessage(self.run_id, self.stages[0], self.epoch)

    @property
    def rest(self) -> "ChainMessage | None":
        """What Celery sends when the first stage returns; None after the last one."""
        return ChainMessage(self.run_id, self.epoch, self.stages[1:]) if self.stages[1:] else None


class FaultyBroker(Celery):
    """Takes what the relay sends into a list; `fate` says what becomes of the next message."""

    def __init__(self) -> None:
        super().__init__("faulty", broker="memory://", set_as_current=False)
        self.messages: list[ChainMessage] = []
        self.fate = "arrives"
        self.sent = 0

    def send_task(self, name: str, *_args: Any, **options: Any) -> Any:
        """Do to the message what its fate is."""
        if self.fate == "is refused":
            refusal = "the broker is away"
            raise BrokerError(refusal)
        self.sent += 1
        # Celery keeps the links in reverse order, so that it can pop the next one.
        links: Sequence[Mapping[str, Any]] = (options.get("chain") or [])[::-1]
        ids = _args[1] if len(_args) > 1 else options["kwargs"]
        names = [name, *(link["task"] for link in links)]
        message = ChainMessage(UUID(ids["run_id"]), ids["epoch"], tuple(Stage(part.split(".")[1]) for part in names))
        copies = {"is lost": 0, "arrives": 1, "arrives twice": 2}[self.fate]
        self.messages.extend([message] * copies)

    def forward(self, message: ChainMessage | None) -> None:
        """Send a chain's next message, as Celery does when a stage returns."""
        if message is not None and self.fate not in {"is lost", "is refused"}:
            self.messages.append(message)


class CountingSweep(Sweep):
    """The sweep of production, which asks the list instead of a queue how long it is."""

    def __init__(self, database: Database, broker: FaultyBroker, live: Path) -> None:
        relay = Relay(database, broker, sender="sweeper", grace=GRACE)
        store = InMemoryArtifactStore(live)
        super().__init__(database, broker, relay, store, StageTiming(grace=GRACE))
        self._broker = broker
        self.relay = relay

    def _messages_in(self, queue: str) -> int:
        return len(self._broker.messages)
