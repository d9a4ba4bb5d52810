"""Look at the database from outside: find a run to hit, and hold it while it is hit."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, exists, func, insert, select
from sqlalchemy.orm import Session

from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.states import ACTIVE_RUN_STATUSES, Stage, StageStatus
from moonmind.prove.tables import OUTBOX, RUNS, STAGES

_LOOK_SECONDS = 0.003
_PAUSE_SECONDS = 0.1
# The fifth crash of a stage ends its run by design, so nothing crashes while one is close to that.
_MOST_CRASHES = 3
_IS_ACTIVE = RUNS.c.status.in_(sorted(status.value for status in ACTIVE_RUN_STATUSES))
_IS_READY = (STAGES.c.status == StageStatus.QUEUED.value) & STAGES.c.next_dispatch_at.is_not(None)
_IS_RUNNING = STAGES.c.status == StageStatus.RUNNING.value
_UNSENT = exists(OUTBOX.c.id).where(OUTBOX.c.run_id == STAGES.c.run_id, OUTBOX.c.sent_at.is_(None))


@dataclass(frozen=True)
class Live:
    """One run at the moment a fault hit it; `at` is the database's time."""

    run_id: UUID
    stage: Stage
    token: int
    owner: str
    at: datetime


Hit = Callable[[Live], bool]
"""Injects the fault; False when this run turned out not to be within reach, and another is wanted."""


class Ledger:
    """Questions to the database; it writes nothing but requests for copies of messages."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock = database.clock

    def hit_working(self, stage: Stage | None, hit: Hit, *, seconds: float) -> Live | None:
        """
        Hit while a process is at work on a stage; None when there was none in that time.

        The run's lock is held meanwhile, so the stage cannot complete between the look and the hit.
        """
        wanted = [_IS_RUNNING, STAGES.c.lease_until > self._clock.now()]
        if stage is not None:
            wanted.append(STAGES.c.task_name == stage.value)
        return self._hit(select(STAGES).where(*wanted), hit, seconds=seconds)

    def hit_between_stages(self, hit: Hit, *, seconds: float) -> Live | None:
        """Hit while a stage is complete and the next one, whose message is on its way, is not claimed."""
        return self._hit(select(STAGES).where(_IS_READY, STAGES.c.position > 0, ~_UNSENT), hit, seconds=seconds)

    def hit_ready(self, hit: Hit, *, seconds: float) -> Live | None:
        """Hit while a stage waits for a message that was sent."""
        return self._hit(select(STAGES).where(_IS_READY, ~_UNSENT), hit, seconds=seconds)

    def hit_relaying(self, hit: Hit, *, seconds: float) -> Live | None:
        """Hit while a chain is being sent and that is not noted yet."""
        relaying = select(STAGES).where(_IS_READY, _UNSENT.where(OUTBOX.c.leased_until > self._clock.now()))
        return self._hit(relaying, hit, seconds=seconds)

    def active(self) -> int:
        """Count the runs that are under way."""
        with self._database.reading() as session:
            return session.scalar(select(func.count()).select_from(RUNS).where(_IS_ACTIVE)) or 0

    def holder_before(self, live: Live) -> str:
        """Return who completed the stage before this one."""
        before = select(STAGES.c.owner).where(STAGES.c.run_id == live.run_id, STAGES.c.owner.is_not(None))
        with self._database.reading() as session:
            return session.execute(before.order_by(STAGES.c.position.desc())).scalars().first() or ""

    def epoch(self, live: Live) -> int:
        """Return the epoch of a run."""
        with self._database.reading() as session:
            return int(session.execute(select(RUNS.c.epoch).where(RUNS.c.id == live.run_id)).scalar_one())

    def ask_again(self, live: Live, *, copies: int) -> None:
        """Ask for further copies of a run's chain, as a crash between sending and noting it does."""
        epoch = self.epoch(live)
        row = {"run_id": live.run_id, "from_stage": live.stage.value, "epoch": epoch, "attempts": 0}
        with self._database.transaction() as session:
            for _ in range(copies):
                session.execute(insert(OUTBOX).values(**row, created_at=self._clock.now()))

    def hold(self, seconds: float) -> None:
        """Keep the embedded database's write lock for a while."""
        with self._database.transaction():
            time.sleep(seconds)

    def _hit(self, wanted: Select[Any], hit: Hit, *, seconds: float) -> Live | None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                live = self._hit_one(wanted, hit)
            except WorkflowError:
                # The database is coming up again; the next look is as good.
                time.sleep(_PAUSE_SECONDS)
                continue
            if live is not None:
                return live
            time.sleep(_LOOK_SECONDS)
        return None

    def _hit_one(self, wanted: Select[Any], hit: Hit) -> Live | None:
        # A look without a lock first: taking the lock all the time would slow the service down.
        with self._database.reading() as session:
            seen = session.execute(wanted).all()
        return next((live for row in seen if (live := self._hit_locked(wanted, row, hit)) is not None), None)

    def _hit_locked(self, wanted: Select[Any], seen: Row[Any], hit: Hit) -> Live | None:
        with self._database.transaction() as session:
            # Not waiting for the lock: its holder may be a process that this very fault has paused.
            lock = select(RUNS.c.id).where(RUNS.c.id == seen.run_id).with_for_update(skip_locked=True)
            if session.execute(lock).first() is None:
                return None
            row = session.execute(wanted.where(STAGES.c.id == seen.id)).first()
            if row is None or self._is_worn(session):
                return None
            now = session.execute(select(self._clock.now())).scalar_one()
            live = Live(row.run_id, Stage(row.task_name), row.token, row.owner or "", now)
            return live if hit(live) else None

    def _is_worn(self, session: Session) -> bool:
        worn = select(STAGES.c.id).where(_IS_RUNNING, STAGES.c.crashes >= _MOST_CRASHES)
        return session.execute(worn).first() is not None
