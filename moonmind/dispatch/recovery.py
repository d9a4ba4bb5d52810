"""Sweep the database for what crashes left behind, and bring it forward again."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from uuid import UUID

import structlog
from celery import Celery

from api_service.db.session import Database
from moonmind.dispatch.broker import errors_of, messages_in
from moonmind.dispatch.outbox import Relay
from moonmind.domain.errors import WorkflowError
from moonmind.domain.ports import ArtifactStore
from moonmind.workflows.speckit_celery.claims import WAITING_FOR_SLOT, cancel_if_asked, send_again, take_over, wake
from moonmind.workflows.speckit_celery.repositories import ReadyStage, Repositories
from moonmind.workflows.speckit_celery.services import StageTiming
from moonmind.workflows.speckit_celery.summaries import write_summary

_log = structlog.get_logger(__name__)
_BATCH = 500


class Sweep:
    """
    One pass over everything that is overdue, in the order of `run_once`.

    Any number may run at once: rows are locked with SKIP LOCKED, and each hit is looked at
    again under its run's lock. Repeating a pass changes nothing that is not due.
    """

    def __init__(
        self, database: Database, app: Celery, relay: Relay, store: ArtifactStore, timing: StageTiming
    ) -> None:
        self._database = database
        self._app = app
        self._broker_errors = errors_of(app)
        self._relay = relay
        self._store = store
        self._timing = timing

    def run_once(self) -> None:
        """Relay, take over, cancel, wake, send again, relay what that asked for, summarise."""
        self._relay.send_all()
        moved = self._take_over_expired() + self._cancel() + self._wake_due() + self._send_forgotten()
        if moved:
            self._relay.send_all()
        self._summarise()

    def take_over_from(self, holders: frozenset[str], *, clean: frozenset[str] = frozenset()) -> int:
        """Take over what processes that are known to be gone held; `clean` ones did not crash."""
        if not holders:
            return 0
        with self._database.reading() as session:
            runs = Repositories(session, self._database.clock).stages.runs_held_by(sorted(holders))
        grace = self._timing.grace
        taken = sum(
            take_over(self._database, run, held_by=holders - clean, crashed=True, grace=grace)
            or take_over(self._database, run, held_by=clean, crashed=False, grace=grace)
            for run in runs
        )
        _log.info("taken_over", holders=len(holders), stages=taken)
        return taken

    def send_ready_again(self, senders: frozenset[str] | None) -> int:
        """Send ready stages whose messages went down with these senders (None: with the broker)."""
        with self._database.reading() as session:
            stages = Repositories(session, self._database.clock).stages
            runs = stages.ready_sent_by(None if senders is None else sorted(senders))
        return self._each(runs, self._send_again)

    def wake_for_slot(self) -> int:
        """Wake the stage that has waited longest for an agent slot."""
        with self._database.reading() as session:
            runs = Repositories(session, self._database.clock).stages.runs_waiting_for(WAITING_FOR_SLOT, limit=1)
        woken = self._each(
            runs, lambda run: wake(self._database, run, grace=self._timing.grace, waiting_for=WAITING_FOR_SLOT)
        )
        if woken:
            self._relay.send_all()
        return woken

    def seconds_to_next(self) -> float | None:
        """Return how long until the next waiting stage is due."""
        with self._database.reading() as session:
            return Repositories(session, self._database.clock).stages.seconds_to_next_poll()

    def _take_over_expired(self) -> int:
        with self._database.reading() as session:
            runs = Repositories(session, self._database.clock).stages.runs_with_expired_lease(limit=_BATCH)
        return self._each(
            runs, lambda run: take_over(self._database, run, held_by=None, crashed=True, grace=self._timing.grace)
        )

    def _cancel(self) -> int:
        with self._database.reading() as session:
            runs = Repositories(session, self._database.clock).stages.runs_to_cancel(limit=_BATCH)
        return self._each(runs, lambda run: cancel_if_asked(self._database, run))

    def _wake_due(self) -> int:
        with self._database.reading() as session:
            runs = Repositories(session, self._database.clock).stages.runs_due(limit=_BATCH)
        return self._each(runs, lambda run: wake(self._database, run, grace=self._timing.grace))

    def _send_forgotten(self) -> int:
        with self._database.reading() as session:
            stages = Repositories(session, self._database.clock).stages
            forgotten = stages.forgotten(limit=_BATCH)
            ready = {queue: stages.ready_count(queue) for queue in {stage.queue for stage in forgotten}}
        try:
            missing = {queue: count - self._messages_in(queue) for queue, count in ready.items()}
        except self._broker_errors as error:
            # What it holds cannot be told, and it would take nothing now.
            _log.warning("broker_unavailable", detail=str(error))
            return 0
        return self._each(self._beyond_queue(forgotten, missing), self._send_again)

    def _beyond_queue(self, forgotten: Iterable[ReadyStage], missing: Mapping[str, int]) -> list[UUID]:
        """
        Choose only as many stages as the queue has fewer messages than there are ready stages.

        A stage that merely waits in a long queue has its message; sending a second one would
        make the queue longer still.
        """
        chosen: list[UUID] = []
        taken: Counter[str] = Counter()
        for stage in forgotten:
            if taken[stage.queue] < missing[stage.queue]:
                taken[stage.queue] += 1
                chosen.append(stage.run_id)
        return chosen

    def _messages_in(self, queue: str) -> int:
        return messages_in(self._app, queue)

    def _send_again(self, run: UUID) -> bool:
        return send_again(self._database, run, grace=self._timing.grace, longest=self._timing.longest_grace)

    def _summarise(self) -> None:
        try:
            store_id = self._store.store_id
            with self._database.reading() as session:
                runs = Repositories(session, self._database.clock).runs.without_summary(store_id=store_id, limit=50)
            for run in runs:
                write_summary(self._database, self._store, run)
        except WorkflowError as error:
            _log.warning("summary_not_written", detail=error.detail)

    def _each(self, runs: Iterable[UUID], act: Callable[[UUID], bool]) -> int:
        return sum(act(run) for run in runs)


class Sweeper:
    """A thread that sweeps at least every `interval`, earlier when something is due or asked for."""

    def __init__(self, sweep: Sweep, *, interval: timedelta, afterwards: Callable[[], None] = lambda: None) -> None:
        self._afterwards = afterwards
        self._sweep = sweep
        self._interval = interval.total_seconds()
        self._wanted = threading.Event()
        # Each freed slot lets one stage go on; a semaphore counts them without a lock of ours.
        self._freed_slots = threading.Semaphore(0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """End after the pass that is under way."""
        self._stop.set()
        self._wanted.set()
        self._thread.join()

    def wake(self) -> None:
        """Sweep now."""
        self._wanted.set()

    def slot_freed(self) -> None:
        """Hand a freed agent slot to the stage that waited longest."""
        self._freed_slots.release()
        self._wanted.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wanted.clear()
            try:
                while self._freed_slots.acquire(blocking=False):
                    self._sweep.wake_for_slot()
                self._sweep.run_once()
                self._afterwards()
                due = self._sweep.seconds_to_next()
            except (WorkflowError, OSError) as error:
                _log.warning("sweep_interrupted", detail=str(error))
                due = None
            # A process edge: a sweeper that died silently would be worse.
            except Exception:  # noqa: BLE001
                _log.exception("sweep_failed")
                due = None
            self._wanted.wait(self._interval if due is None else min(self._interval, max(due, 0.05)))
