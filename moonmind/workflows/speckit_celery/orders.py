"""Read from the database what each stage is asked to do."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from api_service.db.models import SpecWorkflowRun, SpecWorkflowTaskState
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.failures import FailureCode
from moonmind.domain.orders import ApplyOrder, DiscoverOrder, FinalizeOrder, PublishOrder, SubmitOrder
from moonmind.domain.results import Applied, Discovered, Published, StageResult, Submitted
from moonmind.domain.states import Stage
from moonmind.workflows.speckit_celery.recording import decode_result
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages
from moonmind.workflows.speckit_celery.services import Services

_CAUSED_BY_AGENT = frozenset(
    code.value
    for code in (
        FailureCode.AGENT_FAILED,
        FailureCode.AGENT_TIMED_OUT,
        FailureCode.AGENT_WENT_SILENT,
        FailureCode.AGENT_NO_CHANGE,
        FailureCode.AGENT_NEEDS_INPUT,
        FailureCode.PATCH_CONFLICT,
        FailureCode.PATCH_REFUSED,
        FailureCode.PATCH_TOO_LARGE,
        FailureCode.PATCH_UNREADABLE,
    )
)

Result = TypeVar("Result", bound=StageResult)


class MissingResultError(Exception):
    """A stage runs although an earlier one has no result; a bug in the claim rules."""


class OrderReader:
    """Reads orders in short transactions of their own, closed before any work begins."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def discover(self, claimed: ClaimedStage) -> DiscoverOrder:
        """Return what to look for."""
        with self._services.database.reading() as session:
            run, _ = self._read(session, claimed.run_id)
            return DiscoverOrder(
                run_id=run.id,
                repository=run.repository,
                feature_key=run.feature_key,
                base_branch=run.base_branch,
                wanted_phase=run.wanted_phase,
                wanted_task_ids=tuple(run.wanted_task_ids),
                max_tasks=self._services.max_tasks,
            )

    def submit(self, claimed: ClaimedStage) -> SubmitOrder:
        """Return what to hand to the agent; the marker is of this claim alone."""
        with self._services.database.reading() as session:
            run, stages = self._read(session, claimed.run_id)
            rows = Repositories(session, self._services.database.clock).stages.all([run.id])
            return SubmitOrder(
                run_id=run.id,
                discovered=_result(stages, Stage.DISCOVER, Discovered),
                marker=f"mm-run-{run.id}-{claimed.attempt}-{claimed.token}",
                notes=run.notes,
                retry_reason=_retry_reason(rows, claimed.attempt),
                policy=self._services.policy,
            )

    def apply(self, claimed: ClaimedStage) -> ApplyOrder:
        """Return what to apply."""
        with self._services.database.reading() as session:
            run, stages = self._read(session, claimed.run_id)
            submitted = _result(stages, Stage.SUBMIT, Submitted)
            return ApplyOrder(
                run_id=run.id,
                discovered=_result(stages, Stage.DISCOVER, Discovered),
                submitted=submitted,
                stored_patch=submitted.patch,
                policy=self._services.policy,
            )

    def publish(self, claimed: ClaimedStage) -> PublishOrder:
        """Return what to land."""
        with self._services.database.reading() as session:
            run, stages = self._read(session, claimed.run_id)
            discovered = _result(stages, Stage.DISCOVER, Discovered)
            rows = Repositories(session, self._services.database.clock).stages.all([run.id])
            pushed = Repositories(session, self._services.database.clock).pushed_refs
            return PublishOrder(
                run_id=run.id,
                created_at=run.created_at,
                requested_by=run.requested_by,
                notes=run.notes,
                run_url=self._services.run_url(run.id),
                discovered=discovered,
                submitted=_result(stages, Stage.SUBMIT, Submitted),
                applied=_result(stages, Stage.APPLY, Applied),
                pushed=pushed.by_branch(run.repository),
                closings_answered=_closings(rows, since=stages[Stage.DISCOVER].attempt),
                policy=self._services.policy,
            )

    def finalize(self, claimed: ClaimedStage) -> FinalizeOrder:
        """Return what to close."""
        with self._services.database.reading() as session:
            run, stages = self._read(session, claimed.run_id)
            repositories = Repositories(session, self._services.database.clock)
            return FinalizeOrder(
                run_id=run.id,
                published=_result(stages, Stage.PUBLISH, Published),
                workspace_keys=repositories.submissions.workspaces_of(run.id),
            )

    def agent_name(self, run_id: UUID) -> str:
        """Return which agent a run was ordered with."""
        with self._services.database.reading() as session:
            return Repositories(session, self._services.database.clock).runs.get(run_id).agent

    def _read(self, session: Session, run_id: UUID) -> tuple[SpecWorkflowRun, Stages]:
        repositories = Repositories(session, self._services.database.clock)
        return repositories.runs.get(run_id), repositories.stages.latest(run_id)


def _retry_reason(rows: Sequence[SpecWorkflowTaskState], attempt: int) -> str | None:
    """Return what was wrong with the agent's work in the attempt before; other failures are none of its business."""
    wrong = [row for row in rows if row.attempt == attempt - 1 and row.code in _CAUSED_BY_AGENT]
    return f"{wrong[-1].code}: {wrong[-1].message}" if wrong else None


def _closings(rows: Sequence[SpecWorkflowTaskState], *, since: int) -> int:
    """Count how often a person closed the pull request and a retry followed; discovery passes over older ones."""
    return sum(row.code == FailureCode.PULL_REQUEST_CLOSED.value and row.attempt >= since for row in rows)


def _result(stages: Stages, stage: Stage, kind: type[Result]) -> Result:
    payload = stages[stage].result
    result = decode_result(stage, payload) if payload is not None else None
    if not isinstance(result, kind):
        message = f"stage {stage} has no {kind.__name__}"
        raise MissingResultError(message)
    return result
