"""Go on with a run that ended: from the stage that its failure calls for, or from the start."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from api_service.db.models import SpecWorkflowRun
from api_service.db.session import Database
from moonmind.domain.claims import first_unfinished
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import CATALOGUE, FailureCode
from moonmind.domain.ports import ArtifactFolder, ArtifactStore
from moonmind.domain.results import StoredArtifact
from moonmind.domain.states import STAGES, RetryMode, RunStatus, Stage
from moonmind.workflows.speckit_celery.claims import statuses_of
from moonmind.workflows.speckit_celery.recording import forget_results
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages

_RETRIED = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
_LONGEST_NOTES = 4096


@dataclass(frozen=True)
class RetryRequest:
    """What an operator asks for; the notes reach the agent's prompt."""

    run_id: UUID
    mode: RetryMode = RetryMode.RESUME
    notes: str | None = None


@dataclass(frozen=True)
class _Plan:
    """Where a retry goes on; the epoch fences it against another retry in between."""

    epoch: int
    attempt: int
    stage: Stage
    agent: str
    context: bytes


def retry_spec_workflow_run(
    database: Database,
    store: ArtifactStore,
    request: RetryRequest,
    *,
    check_credentials: Callable[[str], None],
    grace: timedelta,
) -> None:
    """
    Record a new attempt: a new epoch, new stage rows from the resume stage on, and its chain.

    Every row, log and artifact of the earlier attempts stays. `check_credentials` is called
    with the run's agent before anything is written. Raises `retry_not_allowed`,
    `credentials_invalid`, `workflow_conflict` or `workflow_not_found`. Of two requests at
    once the second finds the run no longer ended.
    """
    plan = _plan(database, request)
    check_credentials(plan.agent)
    folder = ArtifactFolder(request.run_id, plan.stage, plan.attempt, token=secrets.randbits(31))
    name = f"retry_context_attempt_{plan.attempt}.json"
    context = store.put(folder, "retry_context", name, plan.context)
    try:
        _record(database, request, plan, context, grace=grace)
    except IntegrityError as error:
        if "unique" not in str(error.orig).lower():
            raise
        raise _conflict(database, request.run_id) from error


def resume_stage(run: SpecWorkflowRun, stages: Stages, mode: RetryMode) -> Stage:
    """Return where to go on: what the failure calls for, but never past a stage without a result."""
    unfinished = first_unfinished(statuses_of(stages)) or Stage.FINALIZE
    if mode is RetryMode.RESTART:
        return Stage.DISCOVER
    wanted = CATALOGUE[FailureCode(run.failure_code)].resume if run.failure_code else None
    return min(wanted or unfinished, unfinished, key=STAGES.index)


def _plan(database: Database, request: RetryRequest) -> _Plan:
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.get(request.run_id)
        _refuse_unless_ended(run)
        stages = repositories.stages.latest(run.id)
        stage = resume_stage(run, stages, request.mode)
        context = _context(run, stages, stage, request)
        return _Plan(run.epoch, run.attempt + 1, stage, run.agent, json.dumps(context, indent=2).encode())


def _record(
    database: Database, request: RetryRequest, plan: _Plan, context: StoredArtifact, *, grace: timedelta
) -> None:
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.lock(request.run_id)
        if run is None:
            raise WorkflowError(FailureCode.WORKFLOW_NOT_FOUND, f"There is no run {request.run_id}.")
        _refuse_unless_ended(run)
        if run.epoch != plan.epoch:
            raise WorkflowError(FailureCode.RETRY_NOT_ALLOWED, "Another retry came first.", runId=str(run.id))
        forget_results(run, plan.stage)
        repositories.runs.reopen(run, plan.stage, notes=_joined(run.notes, request.notes))
        repositories.stages.add(run, plan.stage.onward, attempt=run.attempt, grace=grace)
        repositories.artifacts.record(run.id, [context], attempt=run.attempt)
        repositories.outbox.add(run, plan.stage)


def _refuse_unless_ended(run: SpecWorkflowRun) -> None:
    if RunStatus(run.status) not in _RETRIED:
        detail = f"Run {run.id} is {run.status}; only a failed or cancelled run can be retried."
        raise WorkflowError(FailureCode.RETRY_NOT_ALLOWED, detail, runId=str(run.id))


def _conflict(database: Database, run_id: UUID) -> WorkflowError:
    """Name the run that has the feature; between the clash and this look it may have ended."""
    with database.reading() as session:
        runs = Repositories(session, database.clock).runs
        run = runs.get(run_id)
        other = runs.active(run.repository, run.feature)
    if other is None:
        return WorkflowError(FailureCode.WORKFLOW_CONFLICT, f"Another run worked on the feature of run {run_id}.")
    detail = f"Run {other.id} works on {run.feature_dir or run.feature} of {run.repository}."
    return WorkflowError(FailureCode.WORKFLOW_CONFLICT, detail, runId=str(other.id))


def _joined(earlier: str | None, later: str | None) -> str | None:
    return "\n\n".join(notes for notes in (earlier, later) if notes)[-_LONGEST_NOTES:] or None


def _context(run: SpecWorkflowRun, stages: Stages, stage: Stage, request: RetryRequest) -> Mapping[str, object]:
    return {
        "runId": str(run.id),
        "mode": request.mode.value,
        "resumeFrom": stage.value,
        "attempt": run.attempt + 1,
        "notes": request.notes,
        "failureCode": run.failure_code,
        "failureMessage": run.failure_message,
        "failureStage": run.failure_stage,
        "codexTaskId": run.codex_task_id,
        "codexLogsPath": run.codex_logs_path,
        "codexPatchPath": run.codex_patch_path,
        "branchName": run.branch_name,
        "prUrl": run.pr_url,
        "stages": {name.value: row.status for name, row in stages.items()},
    }
