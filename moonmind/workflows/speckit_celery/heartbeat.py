"""Keep a claimed stage ours while it works, and tell its processes the moment it is not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.errors import WorkflowError
from moonmind.workflows.speckit_celery.repositories import Repositories

_log = structlog.get_logger(__name__)
_CANCEL_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class HeldStage:
    """A claim of this process whose thread has not ended yet, whether or not its lease still holds."""

    claimed: ClaimedStage
    seconds: float
    """How long ago it was claimed."""


@dataclass(eq=False)
class _Listener:
    renewed: Callable[[float], None]
    lost: Callable[[], None]


class LeaseBook:
    """The leases this process holds, so that a shutdown can give all of them up."""

    def __init__(self) -> None:
        self._leases: dict[StageLease, float] = {}
        self._lock = threading.Lock()
        self._closed = False

    def add(self, lease: "StageLease") -> None:
        """Note a lease; after `give_up_all` it is given up at once."""
        with self._lock:
            self._leases[lease] = time.monotonic()
            closed = self._closed
        if closed:
            lease.give_up()

    def remove(self, lease: "StageLease") -> None:
        """Forget a lease that ended."""
        with self._lock:
            self._leases.pop(lease, None)

    def held(self) -> tuple[HeldStage, ...]:
        """Return the stages whose threads are at work."""
        now = time.monotonic()
        with self._lock:
            return tuple(HeldStage(lease.claimed, now - since) for lease, since in self._leases.items())

    def give_up_all(self) -> None:
        """Stop the processes of every running stage; the stages are then taken over as not crashed."""
        with self._lock:
            self._closed = True
            leases = list(self._leases)
        for lease in leases:
            lease.give_up()


class StageLease:
    """
    The lease of one claimed stage, renewed by a thread of its own every quarter lease.

    The database decides whether a renewal counts. While it does not answer, the lease runs
    out on this host's own clock too, so that nothing works on under a lease that others
    already see as expired.
    """

    def __init__(
        self,
        database: Database,
        claimed: ClaimedStage,
        *,
        lease: timedelta,
        beat: timedelta,
        book: LeaseBook,
        asked_at: float,
    ) -> None:
        self._book = book
        self._database = database
        self.claimed = claimed
        self._lease = lease
        self._beat = beat.total_seconds()
        self._listeners: list[_Listener] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        # From before the claim: the database counts from then, and a pause may lie in between.
        self._good_until = asked_at + lease.total_seconds()
        self._thread = threading.Thread(target=self._run, name=f"lease-{claimed.stage}", daemon=True)

    @property
    def lost(self) -> bool:
        """True once the stage is known not to be ours."""
        return self._lost.is_set() or time.monotonic() >= self._good_until

    @property
    def cancelled(self) -> bool:
        """True once a cancel of the run was seen; the stage's processes are then told to end."""
        return self._cancelled.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._book.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._book.remove(self)
        self._stop.set()
        self._thread.join()

    def give_up(self) -> None:
        """Stop renewing and tell the processes of this stage that it is over."""
        self._lost.set()
        self._stop.set()
        self._tell(lambda listener: listener.lost())

    @contextmanager
    def attach(self, renewed: Callable[[float], None], lost: Callable[[], None]) -> Iterator[None]:
        """Tell a process of ours about renewals and the loss while the context is open."""
        listener = _Listener(renewed, lost)
        with self._lock:
            self._listeners.append(listener)
        if self.lost or self.cancelled:
            lost()
        else:
            renewed(self._good_until - time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def _run(self) -> None:
        next_beat = time.monotonic() + self._beat
        while not self._stop.wait(min(self._beat, _CANCEL_LOOK_SECONDS)):
            self._look_for_cancel()
            if time.monotonic() < next_beat:
                continue
            next_beat = time.monotonic() + self._beat
            asked_at = time.monotonic()
            renewed = self._renew()
            if renewed:
                self._good_until = asked_at + self._lease.total_seconds()
                self._tell(lambda listener: listener.renewed(self._good_until - time.monotonic()))
            elif renewed is False or self.lost:
                self._lost.set()
                _log.warning(
                    "lease_lost",
                    run=str(self.claimed.run_id),
                    stage=self.claimed.stage.value,
                )
                self._tell(lambda listener: listener.lost())
                return

    def _renew(self) -> bool | None:
        """Return None when the database did not answer, which decides nothing yet."""
        try:
            with self._database.transaction() as session:
                stages = Repositories(session, self._database.clock).stages
                return stages.renew(self.claimed.stage_id, token=self.claimed.token, lease=self._lease)
        # Whatever the driver or its pool says: a thread that died of it would lose the stage.
        except (WorkflowError, SQLAlchemyError) as error:
            _log.warning("lease_not_renewed", run=str(self.claimed.run_id), detail=str(error))
            return None

    def _look_for_cancel(self) -> None:
        """Stop the stage's processes when the run is to be cancelled; the lease itself stays ours."""
        if self.cancelled:
            return
        try:
            with self._database.reading() as session:
                asked = Repositories(session, self._database.clock).runs.is_cancel_requested(self.claimed.run_id)
        except (WorkflowError, SQLAlchemyError):
            return
        if asked:
            self._cancelled.set()
            self._tell(lambda listener: listener.lost())

    def _tell(self, what: Callable[[_Listener], None]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            what(listener)
