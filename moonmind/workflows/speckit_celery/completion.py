"""Write down how a stage ended, in one transaction, and only for the holder of its token."""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum, auto

from api_service.db.models import SpecWorkflowRun
from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Ended, Outcome, Parked
from moonmind.domain.results import Discovered, StageResult, StoredArtifact
from moonmind.domain.states import RunPhase, RunStatus, Stage, StageStatus
from moonmind.workflows.speckit_celery.endings import cancel_closes, close_as_cancelled, end_run
from moonmind.workflows.speckit_celery.recording import encode_result, record_paths, record_result
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages


class Completion(Enum):
    """What became of an outcome."""

    ADVANCED = auto()
    """The next stage is ready; the chain may go on."""
    PARKED = auto()
    ENDED = auto()
    STALE = auto()
    """Somebody else holds the stage: nothing was written."""


def complete_stage(
    database: Database,
    claimed: ClaimedStage,
    outcome: Outcome,
    *,
    artifacts: Sequence[StoredArtifact],
    grace: timedelta,
    duration_ms: int | None = None,
) -> Completion:
    """
    Record the outcome of a stage whose token still matches.

    Repeating is safe: when an earlier try committed and only its answer was lost, the row
    shows that this token completed, and the same answer is given again.
    """
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.lock(claimed.run_id)
        if run is None:
            return Completion.STALE
        stages = repositories.stages.latest(run.id)
        row = stages[claimed.stage]
        if row.id != claimed.stage_id or row.token != claimed.token:
            return Completion.STALE
        if row.status != StageStatus.RUNNING.value:
            return _read_back(run, StageStatus(row.status))
        row.duration_ms = duration_ms
        repositories.artifacts.record(run.id, artifacts, attempt=claimed.attempt)
        record_paths(run, artifacts)
        return _apply(repositories, run, stages, claimed.stage, outcome, grace=grace)


def _read_back(run: SpecWorkflowRun, status: StageStatus) -> Completion:
    # A commit whose answer was lost: the token is still ours, the status no longer `running`.
    if not RunStatus(run.status).is_active:
        return Completion.ENDED
    match status:
        case StageStatus.SUCCEEDED:
            return Completion.ADVANCED
        case StageStatus.WAITING:
            return Completion.PARKED
        case _:
            return Completion.STALE


def _apply(
    repositories: Repositories,
    run: SpecWorkflowRun,
    stages: Stages,
    stage: Stage,
    outcome: Outcome,
    *,
    grace: timedelta,
) -> Completion:
    cancelled = run.cancel_requested_at is not None
    match outcome:
        case Done(result):
            conflict = _succeed(repositories, run, stages, stage, result)
            if conflict is not None and not cancelled:
                end_run(repositories, run, stages, stage, conflict)
                return Completion.ENDED
            if stage is Stage.FINALIZE:
                run.phase = RunPhase.COMPLETE.value
                repositories.runs.move(run, RunStatus.SUCCEEDED, message="The run is complete.")
                return Completion.ENDED
            if cancelled:
                close_as_cancelled(repositories, run, stages)
                return Completion.ENDED
            following = stages[stage.onward[1]]
            repositories.stages.expect_message(following, within=grace)
            # This worker sends the next message of the chain: should it die first, whoever finds it dead sends it.
            following.sent_by = stages[stage].owner
            return Completion.ADVANCED
        case Parked() if not cancel_closes(run, stages):
            _park(repositories, run, stages, stage, outcome)
            return Completion.PARKED
        case Ended() if not cancelled:
            repositories.submissions.finish_live(stages[stage].id, state="finished")
            end_run(repositories, run, stages, stage, outcome)
            return Completion.ENDED
        case _:
            close_as_cancelled(repositories, run, stages)
            return Completion.ENDED


def _succeed(
    repositories: Repositories,
    run: SpecWorkflowRun,
    stages: Stages,
    stage: Stage,
    result: StageResult,
) -> Ended | None:
    if isinstance(result, Discovered):
        conflict = _take_feature(repositories, run, result)
        if conflict is not None:
            return conflict
    row = stages[stage]
    row.result = encode_result(stage, result)
    row.message = None
    repositories.stages.move(row, StageStatus.SUCCEEDED)
    record_result(run, result)
    if stage is Stage.SUBMIT:
        repositories.submissions.finish_live(row.id, state="finished")
    repositories.runs.record_stage(run, row)
    return None


def _take_feature(repositories: Repositories, run: SpecWorkflowRun, found: Discovered) -> Ended | None:
    """
    Make the canonical directory the run's identity.

    The look-up names the other run; the unique index decides when two runs do this at once.
    """
    feature = found.feature_dir.lower()
    if feature == run.feature:
        return None
    if repositories.runs.rename_feature(run, feature):
        return None
    other = repositories.runs.active(run.repository, feature)
    named = f" (run {other.id})" if other else ""
    return Ended.failed(
        FailureCode.WORKFLOW_CONFLICT,
        f"Another active run{named} works on {found.feature_dir} of {run.repository}.",
        activeRunId=str(other.id) if other else None,
    )


def _park(
    repositories: Repositories,
    run: SpecWorkflowRun,
    stages: Stages,
    stage: Stage,
    parked: Parked,
) -> None:
    row = stages[stage]
    repositories.stages.wait(row, after=parked.after, waiting_for=parked.waiting_for)
    row.message = parked.reason
    repositories.runs.record_stage(run, row, message=parked.reason)
