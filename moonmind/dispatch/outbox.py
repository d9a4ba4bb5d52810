"""Send the chains that the database asked for, and note that they were sent."""

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from celery import Celery

from api_service.db.session import Database
from moonmind.dispatch.broker import errors_of
from moonmind.domain.claims import first_unfinished
from moonmind.domain.errors import WorkflowError
from moonmind.domain.states import Stage
from moonmind.workflows.speckit_celery import run_chain
from moonmind.workflows.speckit_celery.claims import statuses_of
from moonmind.workflows.speckit_celery.repositories import Repositories

_log = structlog.get_logger(__name__)
# Longer than a send that hangs may take; a relay that died in between delays its row by as much.
_RELAY_LEASE = timedelta(seconds=15)
_MOST_CARRIED = 1_000


@dataclass(frozen=True)
class _Parcel:
    """What one outbox row asks to send."""

    outbox_id: int
    attempt: int
    run_id: UUID
    epoch: int
    stages: tuple[Stage, ...]
    queues: Mapping[Stage, str]


class Relay:
    """
    Moves outbox rows to the broker.

    A crash between sending and marking sends a second copy of a chain, which the claim absorbs.
    """

    def __init__(self, database: Database, app: Celery, *, sender: str, grace: timedelta) -> None:
        self._database = database
        self._app = app
        self._sender = sender
        self._grace = grace
        self._broker_errors = errors_of(app)

    def send_all(self, *, most: int = 500) -> int:
        """Send what is unsent, oldest first; stops at the first that the broker does not take."""
        sent = 0
        while sent < most and self.send_one():
            sent += 1
        return sent

    def send_one(self, run_id: UUID | None = None) -> bool:
        """Send one row, of one run if wanted; False when there is none or the broker does not answer."""
        parcel = self._take(run_id)
        if parcel is None:
            return False
        if not parcel.stages:
            self._mark(parcel, {})
            return True
        task_ids = {stage: str(uuid4()) for stage in parcel.stages}
        chain = run_chain(
            self._app,
            run_id=parcel.run_id,
            epoch=parcel.epoch,
            stages=parcel.stages,
            queues=parcel.queues,
            task_ids=task_ids,
        )
        try:
            chain.apply_async(retry=False)
        except self._broker_errors as error:
            _log.warning("broker_unavailable", run=str(parcel.run_id), detail=str(error))
            self._release(parcel)
            return False
        self._mark(parcel, task_ids)
        return True

    def release_from(self, senders: frozenset[str] | None) -> None:
        """Take back what relays of dead processes had begun to send (None: of all); a second copy is harmless."""
        with self._database.transaction() as session:
            outbox = Repositories(session, self._database.clock).outbox
            outbox.release_from(None if senders is None else sorted(senders))

    def _take(self, run_id: UUID | None) -> _Parcel | None:
        with self._database.transaction() as session:
            repositories = Repositories(session, self._database.clock)
            row = repositories.outbox.lease_next(lease=_RELAY_LEASE, sender=self._sender, run_id=run_id)
            if row is None:
                return None
            stages = repositories.stages.latest(row.run_id)
            run = repositories.runs.get(row.run_id)
            first = first_unfinished(statuses_of(stages)) if run.epoch == row.epoch else None
            return _Parcel(
                row.id,
                row.attempts,
                row.run_id,
                row.epoch,
                first.onward if first else (),
                {stage: stages[stage].queue for stage in stages},
            )

    def _mark(self, parcel: _Parcel, task_ids: Mapping[Stage, str]) -> None:
        with self._database.transaction() as session:
            repositories = Repositories(session, self._database.clock)
            run = repositories.runs.lock(parcel.run_id)
            repositories.outbox.mark_sent(parcel.outbox_id)
            if run is None or run.epoch != parcel.epoch or not task_ids:
                return
            # Labels for whoever looks into the broker; nothing is decided by them.
            run.celery_chain_id = task_ids[parcel.stages[-1]]
            stages = repositories.stages.latest(run.id)
            for stage, task_id in task_ids.items():
                stages[stage].celery_task_id = task_id
                stages[stage].sent_by = self._sender

    def _release(self, parcel: _Parcel) -> None:
        with self._database.transaction() as session:
            Repositories(session, self._database.clock).outbox.release(parcel.outbox_id, attempt=parcel.attempt)


class Courier:
    """
    Sends the chains of new runs from a thread of its own.

    An answer to a request thus never waits for a broker that is away or hangs. What the
    courier does not send, because the broker refuses, the queue is full or the process ends,
    stays in the outbox for the sweepers.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._runs: queue.Queue[UUID] = queue.Queue(_MOST_CARRIED)
        threading.Thread(target=self._run, name="courier", daemon=True).start()

    def __call__(self, run_id: UUID) -> None:
        """Take one run's chain to the broker soon; returns at once."""
        try:
            self._runs.put_nowait(run_id)
        except queue.Full:
            _log.warning("courier_overloaded", run=str(run_id))

    def _run(self) -> None:
        while True:
            run_id = self._runs.get()
            try:
                self._relay.send_one(run_id)
            except WorkflowError as error:
                _log.warning("chain_not_sent", run=str(run_id), detail=error.detail)
            # A process edge: without this thread every run would wait for a sweep.
            except Exception:  # noqa: BLE001
                _log.exception("courier_failed", run=str(run_id))
