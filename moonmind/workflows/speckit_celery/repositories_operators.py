"""Read and change what belongs to operators and workers: idempotency keys, worker rows."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api_service.db.models import IdempotencyKey, Worker
from api_service.db.types import Clock
from moonmind.domain.ids import new_id

_KEY_LIFE = timedelta(hours=24)


class IdempotencyRepository:
    """Keys that stand for a request."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def find(self, *, token_id: str, key: str) -> IdempotencyKey | None:
        """Return a key's row while it is valid; an expired one is removed."""
        row = IdempotencyKey
        self._session.execute(delete(row).where(row.created_at <= self._clock.now(-_KEY_LIFE)))
        return self._session.scalar(select(row).where(row.token_id == token_id, row.key == key))

    def add(self, *, token_id: str, key: str, body_sha256: str, run_id: UUID) -> None:
        """Tie a key to a run, in the transaction that makes the run."""
        self._session.add(
            IdempotencyKey(
                id=new_id(),
                token_id=token_id,
                key=key,
                body_sha256=body_sha256,
                run_id=run_id,
                created_at=self._clock.now(),
            )
        )
        self._session.flush()


class WorkerRepository:
    """Worker processes that were seen."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def seen(
        self,
        worker_id: str,
        *,
        name: str,
        host: str,
        queues: Sequence[str],
        versions: Mapping[str, str],
    ) -> None:
        """Insert the worker, or note that it is alive."""
        row = self._session.get(Worker, worker_id)
        if row is None:
            row = Worker(id=worker_id, name=name, host=host, started_at=self._clock.now())
        row.queues = list(queues)
        row.versions = dict(versions)
        row.last_seen_at = self._clock.now()
        self._session.add(row)
