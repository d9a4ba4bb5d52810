"""Read and change run rows and append their events; the caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import literal, select, text, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api_service.db.models import RUNS_WITHOUT_SUMMARY, SpecWorkflowRun, SpecWorkflowTaskState, WorkflowEvent
from api_service.db.types import Clock
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ids import new_id
from moonmind.domain.states import (
    ACTIVE_RUN_STATUSES,
    RunPhase,
    RunStatus,
    Stage,
    check_run_transition,
)

ACTIVE_STATUSES = sorted(status.value for status in ACTIVE_RUN_STATUSES)


@dataclass(frozen=True)
class NewRun:
    """What an operator ordered, checked and with its defaults filled in."""

    repository: str
    feature_key: str | None
    agent: str
    requested_by: str
    queue: str
    publish_queue: str
    base_branch: str | None = None
    wanted_phase: str | None = None
    wanted_task_ids: Sequence[str] = ()
    notes: str | None = None

    @property
    def provisional_feature(self) -> str:
        """What the run is unique by until discover knows the directory."""
        return (self.feature_key or "").rstrip("/").rsplit("/", 1)[-1].lower()


@dataclass(frozen=True)
class RunFilter:
    """Which runs a list shows; empty fields exclude nothing."""

    statuses: Sequence[RunStatus] = ()
    repository: str | None = None
    feature_key: str | None = None
    requested_by: str | None = None
    created_after: datetime | None = None
    before: tuple[datetime, UUID] | None = field(default=None)


class RunRepository:
    """All SQL on runs and events."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def lock(self, run_id: UUID) -> SpecWorkflowRun | None:
        """
        Lock the run row and read it as it is now; every transition starts here.

        On SQLite the transaction already holds the only write lock.
        """
        statement = select(SpecWorkflowRun).where(SpecWorkflowRun.id == run_id).with_for_update()
        return self._session.scalar(statement.execution_options(populate_existing=True))

    def lock_if_free(self, run_id: UUID) -> SpecWorkflowRun | None:
        """Lock the run row unless somebody else holds it: sweepers share work, not waits."""
        statement = select(SpecWorkflowRun).where(SpecWorkflowRun.id == run_id).with_for_update(skip_locked=True)
        return self._session.scalar(statement.execution_options(populate_existing=True))

    def find(self, run_id: UUID) -> SpecWorkflowRun | None:
        """Return a run, None where there is none."""
        return self._session.get(SpecWorkflowRun, run_id)

    def get(self, run_id: UUID) -> SpecWorkflowRun:
        """Return a run; raises `workflow_not_found`."""
        run = self.find(run_id)
        if run is None:
            raise WorkflowError(FailureCode.WORKFLOW_NOT_FOUND, f"There is no run {run_id}.")
        return run

    def add(self, order: NewRun) -> SpecWorkflowRun:
        """Insert a pending run with its first event; the unique index decides about conflicts."""
        now = self._clock.now()
        run_id = new_id()
        run = SpecWorkflowRun(
            id=run_id,
            repository=order.repository.lower(),
            feature=order.provisional_feature,
            feature_key=order.feature_key,
            agent=order.agent,
            requested_by=order.requested_by,
            notes=order.notes,
            base_branch=order.base_branch,
            wanted_phase=order.wanted_phase,
            wanted_task_ids=list(order.wanted_task_ids),
            codex_queue=order.queue,
            publish_queue=order.publish_queue,
            artifacts_path=str(run_id),
            status=RunStatus.PENDING.value,
            phase=RunPhase.DISCOVER.value,
            attempt=1,
            epoch=1,
            event_seq=0,
            created_at=now,
            updated_at=now,
        )
        self._session.add(run)
        self._session.flush()
        self.record(run, "run", status=RunStatus.PENDING.value, message="The run was ordered.")
        return run

    def active(self, repository: str, feature: str) -> SpecWorkflowRun | None:
        """Return the one active run of a feature, if there is one."""
        return self._session.scalar(
            select(SpecWorkflowRun).where(
                SpecWorkflowRun.repository == repository.lower(),
                SpecWorkflowRun.feature == feature,
                SpecWorkflowRun.status.in_(ACTIVE_STATUSES),
            )
        )

    def active_like(self, order: NewRun) -> SpecWorkflowRun | None:
        """
        Return an active run that an order would double.

        The index only knows whole values; this also sees that `001-x` is what a run that
        already discovered `specs/001-x` works on.
        """
        run = SpecWorkflowRun
        key = (order.feature_key or "").strip("/").lower()
        same = run.feature == order.provisional_feature
        if key:
            same = same | (run.feature == key) | run.feature.endswith(f"/{key}", autoescape=True)
        active = (run.repository == order.repository.lower(), run.status.in_(ACTIVE_STATUSES))
        return self._session.scalar(select(run).where(*active, same).limit(1))

    def rename_feature(self, run: SpecWorkflowRun, feature: str) -> bool:
        """Make a feature the identity of a locked run; False when another active run has it."""
        try:
            with self._session.begin_nested():
                run.feature = feature
        except IntegrityError:
            self._session.refresh(run)
            return False
        return True

    def move(
        self,
        run: SpecWorkflowRun,
        status: RunStatus,
        *,
        message: str,
        code: str | None = None,
    ) -> None:
        """Change a locked run's status along a legal way and append the event."""
        check_run_transition(RunStatus(run.status), status)
        run.status = status.value
        run.updated_at = self._clock.now()
        if not status.is_active:
            run.finished_at = self._clock.now()
            run.current_task_name = None
        elif run.started_at is None and status is RunStatus.RUNNING:
            run.started_at = self._clock.now()
        self.record(run, "run", status=status.value, code=code, message=message)

    def reach(self, run: SpecWorkflowRun, stage: Stage) -> None:
        """Note on a locked run that it is now in this stage."""
        run.phase = stage.value
        run.current_task_name = stage.value
        run.updated_at = self._clock.now()

    def request_cancel(self, run: SpecWorkflowRun, *, reason: str | None) -> None:
        """Record on a locked run that it is to be cancelled; the first request stands."""
        if run.cancel_requested_at is None:
            run.cancel_requested_at = self._clock.now()
            run.cancel_reason = reason
            self.record(run, "run", status=run.status, message="A cancel was requested.")

    def is_cancel_requested(self, run_id: UUID) -> bool:
        """Say whether a cancel was recorded."""
        run = SpecWorkflowRun
        wanted = (run.id == run_id, run.cancel_requested_at.is_not(None))
        return self._session.scalar(select(run.id).where(*wanted)) is not None

    def reopen(self, run: SpecWorkflowRun, stage: Stage, *, notes: str | None) -> None:
        """
        Begin a new attempt on a locked run that ended: what it failed by is cleared, its rows stay.

        The new epoch makes every message of the earlier attempt worthless. Raises what the
        unique index says when another run is active for the feature.
        """
        run.epoch += 1
        run.attempt += 1
        run.phase = stage.value
        run.notes = notes
        run.outcome = run.finished_at = run.summary_at = None
        run.failure_code = run.failure_message = run.failure_remedy = run.failure_stage = None
        run.cancel_requested_at = run.cancel_reason = None
        if stage is not Stage.PUBLISH:
            # What was pushed already still has to come to its pull request; new work has not begun to leave.
            run.publish_intent_at = None
        self.move(run, RunStatus.RETRYING, message=f"Attempt {run.attempt} goes on with {stage.value}.")
        self._session.flush()

    def begin_publishing(self, run: SpecWorkflowRun) -> None:
        """Note the moment after which a cancel lets the pull request come out."""
        if run.publish_intent_at is None:
            run.publish_intent_at = self._clock.now()

    def record(
        self,
        run: SpecWorkflowRun,
        kind: str,
        *,
        stage: Stage | None = None,
        attempt: int | None = None,
        status: str | None = None,
        code: str | None = None,
        message: str | None = None,
    ) -> None:
        """Append an event; the sequence is given under the run row's lock, so it has no holes."""
        run.event_seq += 1
        self._session.add(
            WorkflowEvent(
                run_id=run.id,
                seq=run.event_seq,
                type=kind,
                stage=stage.value if stage else None,
                attempt=attempt,
                status=status,
                code=code,
                message=message,
                at=self._clock.now(),
            )
        )

    def record_stage(
        self, run: SpecWorkflowRun, row: SpecWorkflowTaskState, *, code: str | None = None, message: str | None = None
    ) -> None:
        """Append what became of a stage, as its row says it now."""
        stage = Stage(row.task_name)
        self.record(run, "stage", stage=stage, attempt=row.attempt, status=row.status, code=code, message=message)

    def page(self, wanted: RunFilter, *, limit: int) -> Sequence[SpecWorkflowRun]:
        """Return the newest runs first; `before` is the last row of the page before."""
        run = SpecWorkflowRun
        statement = select(run).order_by(run.created_at.desc(), run.id.desc()).limit(limit)
        if wanted.statuses:
            statement = statement.where(run.status.in_([status.value for status in wanted.statuses]))
        if wanted.repository:
            statement = statement.where(run.repository == wanted.repository.lower())
        if wanted.feature_key:
            statement = statement.where(
                (run.feature_key == wanted.feature_key) | (run.feature_dir == wanted.feature_key)
            )
        if wanted.requested_by:
            statement = statement.where(run.requested_by == wanted.requested_by)
        if wanted.created_after:
            statement = statement.where(run.created_at > wanted.created_after)
        if wanted.before:
            # The row-value form is what an index can serve; an OR of comparisons is not.
            created_at, run_id = wanted.before
            last = tuple_(literal(created_at, run.created_at.type), literal(run_id, run.id.type))
            statement = statement.where(tuple_(run.created_at, run.id) < last)
        return self._session.scalars(statement).all()

    def without_summary(self, *, store_id: str, limit: int) -> Sequence[UUID]:
        """Return ended runs of an artifact store whose summary was not written yet, oldest first."""
        run = SpecWorkflowRun
        statement = select(run.id).where(
            text(RUNS_WITHOUT_SUMMARY),
            run.artifact_store_id.is_(None) | (run.artifact_store_id == store_id),
            run.status.not_in(ACTIVE_STATUSES),
        )
        return self._session.scalars(statement.order_by(run.id).limit(limit)).all()

    def summarised(self, run: SpecWorkflowRun) -> None:
        """Note that the summary of this end is stored."""
        run.summary_at = self._clock.now()

    def events(self, run_id: UUID, *, after: int = 0, limit: int = 1000) -> Sequence[WorkflowEvent]:
        """Return a run's events in order."""
        event = WorkflowEvent
        statement = select(event).where(event.run_id == run_id, event.seq > after).order_by(event.seq).limit(limit)
        return self._session.scalars(statement).all()
