"""Read and change stage rows; the caller owns the transaction and holds the run's lock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, select, update
from sqlalchemy.orm import Session

from api_service.db.models import SpecWorkflowRun, SpecWorkflowTaskState
from api_service.db.types import Clock
from moonmind.domain.ids import new_id
from moonmind.domain.states import STAGES, Stage, StageStatus, check_stage_transition
from moonmind.workflows.speckit_celery.repositories_runs import ACTIVE_STATUSES

Stages = Mapping[Stage, SpecWorkflowTaskState]


@dataclass(frozen=True)
class ReadyStage:
    """A ready stage whose message seems to be lost."""

    run_id: UUID
    stage: Stage
    queue: str


class StageRepository:
    """All SQL on stages."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def add(
        self,
        run: SpecWorkflowRun,
        stages: Sequence[Stage],
        *,
        attempt: int,
        grace: timedelta,
    ) -> None:
        """Insert queued rows for the stages of an attempt; the first of them is ready."""
        for stage in stages:
            self._session.add(
                SpecWorkflowTaskState(
                    id=new_id(),
                    run_id=run.id,
                    task_name=stage.value,
                    position=STAGES.index(stage),
                    attempt=attempt,
                    status=StageStatus.QUEUED.value,
                    queue=run.publish_queue if stage in _PUBLISHING else run.codex_queue,
                    token=0,
                    crashes=0,
                    dispatches=0,
                    next_dispatch_at=self._clock.now(grace) if stage is stages[0] else None,
                    created_at=self._clock.now(),
                    updated_at=self._clock.now(),
                )
            )
        self._session.flush()

    def latest(self, run_id: UUID) -> Stages:
        """Return the newest attempt of each stage; earlier attempts' finished stages stand for later ones."""
        statement = (
            select(SpecWorkflowTaskState)
            .where(SpecWorkflowTaskState.run_id == run_id)
            .order_by(SpecWorkflowTaskState.attempt)
            .execution_options(populate_existing=True)
        )
        return {Stage(row.task_name): row for row in self._session.scalars(statement)}

    def all(self, run_ids: Sequence[UUID]) -> Sequence[SpecWorkflowTaskState]:
        """Return all attempts of all stages of some runs, in the order in which they run."""
        stage = SpecWorkflowTaskState
        statement = select(stage).where(stage.run_id.in_(run_ids))
        return self._session.scalars(statement.order_by(stage.run_id, stage.attempt, stage.position)).all()

    def move(self, row: SpecWorkflowTaskState, status: StageStatus) -> None:
        """Change a stage's status along a legal way; fields that belong to the old status are cleared."""
        check_stage_transition(StageStatus(row.status), status)
        row.status = status.value
        row.updated_at = self._clock.now()
        row.next_dispatch_at = None
        if status is not StageStatus.RUNNING:
            row.lease_until = None
            row.deadline = None
        if status is not StageStatus.WAITING:
            row.next_poll_at = None
            row.waiting_for = None
        if status.is_finished:
            row.finished_at = self._clock.now()

    def start(
        self,
        row: SpecWorkflowTaskState,
        *,
        owner: str,
        lease: timedelta,
        limit: timedelta,
    ) -> None:
        """Give a queued stage to a new holder: a token more, a lease, and a deadline."""
        self.move(row, StageStatus.RUNNING)
        row.token += 1
        row.owner = owner
        row.lease_until = self._clock.now(lease)
        row.deadline = self._clock.now(limit)
        if row.started_at is None:
            row.started_at = self._clock.now()
        self._session.flush()

    def wait(self, row: SpecWorkflowTaskState, *, after: timedelta, waiting_for: str) -> None:
        """Park a stage: no lease, no slot, until its time comes."""
        self.move(row, StageStatus.WAITING)
        row.next_poll_at = self._clock.now(after)
        row.waiting_for = waiting_for

    def expect_message(self, row: SpecWorkflowTaskState, *, within: timedelta) -> None:
        """Note when a ready stage counts as forgotten by the broker."""
        row.next_dispatch_at = self._clock.now(within)

    def renew(self, stage_id: UUID, *, token: int, lease: timedelta) -> bool:
        """Extend a lease; False when the stage is not ours any more or past its deadline."""
        stage = SpecWorkflowTaskState
        mine = (
            stage.id == stage_id,
            stage.token == token,
            stage.status == StageStatus.RUNNING.value,
        )
        renewed = self._session.execute(
            update(stage)
            .where(
                *mine,
                stage.lease_until > self._clock.now(),
                stage.deadline > self._clock.now(),
            )
            .values(lease_until=self._clock.now(lease))
            .returning(stage.id)
        )
        return renewed.first() is not None

    def holds(self, stage_id: UUID, *, token: int) -> bool:
        """Say whether the stage is still ours, by the database's clock."""
        stage = SpecWorkflowTaskState
        mine = (
            stage.id == stage_id,
            stage.token == token,
            stage.status == StageStatus.RUNNING.value,
        )
        found = self._session.scalar(select(stage.id).where(*mine, stage.lease_until > self._clock.now()))
        return found is not None

    def is_abandoned(self, stage_id: UUID, *, token: int) -> bool:
        """
        Say whether a running stage's lease has ended, and keep it from being renewed until we commit.

        Renewing takes no lock on the run. Without a lock on the stage's own row, a renewal that
        began just before the end could commit after this look and leave its worker sure of a
        stage that somebody else has.
        """
        stage = SpecWorkflowTaskState
        running = (stage.id == stage_id, stage.token == token, stage.status == StageStatus.RUNNING.value)
        statement = select(stage.id).where(*running, stage.lease_until <= self._clock.now())
        return self._session.scalar(statement.with_for_update()) is not None

    # --- what sweeps look for; each hit is looked at again under its run's lock ---

    def runs_with_expired_lease(self, *, limit: int) -> Sequence[UUID]:
        """Return runs with a running stage that nobody renews."""
        stage = SpecWorkflowTaskState
        return self._run_ids(
            _is(StageStatus.RUNNING),
            stage.lease_until <= self._clock.now(),
            limit=limit,
        )

    def runs_held_by(self, owners: Sequence[str]) -> Sequence[UUID]:
        """Return runs with a running stage that one of these holders had."""
        stage = SpecWorkflowTaskState
        return self._run_ids(
            _is(StageStatus.RUNNING),
            stage.owner.in_(owners),
            limit=10_000,
        )

    def runs_due(self, *, limit: int) -> Sequence[UUID]:
        """Return runs with a waiting stage whose time has come."""
        stage = SpecWorkflowTaskState
        return self._run_ids(
            _is(StageStatus.WAITING),
            stage.next_poll_at <= self._clock.now(),
            limit=limit,
        )

    def waiting_before(self, run_id: UUID, waiting_for: str) -> int:
        """Count the stages of older runs that wait for the same."""
        stage = SpecWorkflowTaskState
        ahead = (
            _is(StageStatus.WAITING),
            stage.waiting_for == waiting_for,
            stage.run_id < run_id,
        )
        return self._session.scalar(select(func.count()).select_from(stage).where(*ahead)) or 0

    def is_due(self, stage_id: UUID) -> bool:
        """Say whether a waiting stage's time has come, by the database's clock."""
        stage = SpecWorkflowTaskState
        return (
            self._session.scalar(select(stage.id).where(stage.id == stage_id, stage.next_poll_at <= self._clock.now()))
            is not None
        )

    def runs_waiting_for(self, what: str, *, limit: int) -> Sequence[UUID]:
        """
        Return runs with a stage that waits for something of ours, the oldest first.

        The oldest run, not the longest wait: a stage that looks again on its own begins a new wait.
        """
        stage = SpecWorkflowTaskState
        waiting = (_is(StageStatus.WAITING), stage.waiting_for == what)
        statement = select(stage.run_id).where(*waiting).order_by(stage.run_id).limit(limit)
        return self._session.scalars(statement).all()

    def runs_to_cancel(self, *, limit: int) -> Sequence[UUID]:
        """Return active runs with a recorded cancel and no stage that a live holder will end."""
        run, stage = SpecWorkflowRun, SpecWorkflowTaskState
        live = select(stage.id).where(
            stage.run_id == run.id,
            _is(StageStatus.RUNNING),
            stage.lease_until > self._clock.now(),
        )
        wanted = (
            run.status.in_(ACTIVE_STATUSES),
            run.cancel_requested_at.is_not(None),
            ~live.exists(),
        )
        return self._session.scalars(select(run.id).where(*wanted).order_by(run.id).limit(limit)).all()

    def forgotten(self, *, limit: int) -> Sequence[ReadyStage]:
        """Return ready stages whose message is overdue, the longest overdue first."""
        stage = SpecWorkflowTaskState
        overdue = (
            _is(StageStatus.QUEUED),
            stage.next_dispatch_at <= self._clock.now(),
        )
        statement = select(stage).where(*overdue).order_by(stage.next_dispatch_at).limit(limit)
        return [ReadyStage(row.run_id, Stage(row.task_name), row.queue) for row in self._session.scalars(statement)]

    def ready_count(self, queue: str) -> int:
        """Count the ready stages of a queue; each should have a message."""
        stage = SpecWorkflowTaskState
        ready = (
            _is(StageStatus.QUEUED),
            stage.next_dispatch_at.is_not(None),
            stage.queue == queue,
        )
        return self._session.scalar(select(func.count()).select_from(stage).where(*ready)) or 0

    def ready_sent_by(self, senders: Sequence[str] | None) -> Sequence[UUID]:
        """Return runs with a ready stage last sent by these holders (None: by anybody)."""
        stage = SpecWorkflowTaskState
        ready = [
            _is(StageStatus.QUEUED),
            stage.next_dispatch_at.is_not(None),
        ]
        if senders is not None:
            ready.append(stage.sent_by.in_(senders))
        return self._run_ids(*ready, limit=10_000)

    def seconds_to_next_poll(self) -> float | None:
        """Return how long until the next waiting stage is due; None when nothing waits."""
        stage = SpecWorkflowTaskState
        statement = select(func.min(stage.next_poll_at), self._clock.now()).where(_is(StageStatus.WAITING))
        due, now = self._session.execute(statement).one()
        return None if due is None else (due - now).total_seconds()

    def _run_ids(self, *where: ColumnElement[bool], limit: int) -> Sequence[UUID]:
        # Neither DISTINCT nor an order: either would keep SQLite from the partial index that finds these few rows.
        statement = select(SpecWorkflowTaskState.run_id).where(*where).limit(limit)
        return sorted(set(self._session.scalars(statement)))


_PUBLISHING = frozenset({Stage.PUBLISH, Stage.FINALIZE})


def _is(status: StageStatus) -> ColumnElement[bool]:
    """Compare with a literal: a bound value would keep SQLite from the partial index of that status."""
    return SpecWorkflowTaskState.status == literal_column(f"'{status.value}'")
