"""End runs inside a transaction that somebody else owns: failed, without work, or cancelled."""

from api_service.db.models import SpecWorkflowRun
from moonmind.domain.failures import CATALOGUE, FailureCode
from moonmind.domain.outcomes import Ended
from moonmind.domain.states import RunStatus, Stage, StageStatus
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages


def end_run(
    repositories: Repositories,
    run: SpecWorkflowRun,
    stages: Stages,
    stage: Stage,
    ended: Ended,
) -> None:
    """
    Close a locked run in the stage that decided so.

    A stage that found nothing to do succeeded in finding that; one that failed keeps the
    code. Whatever comes later is skipped, so that a terminal run has no unfinished stage.
    """
    row = stages[stage]
    failed = ended.status is not RunStatus.NO_WORK
    remedy = CATALOGUE[ended.code].remedy_for(run.id) if ended.code else None
    row.message = ended.message
    row.code = ended.code.value if ended.code else None
    row.remedy = remedy
    if failed and ended.facts:
        # What a stage that failed found instead of a result.
        row.result = dict(ended.facts)
    if row.status == StageStatus.RUNNING.value:
        repositories.stages.move(row, StageStatus.FAILED if failed else StageStatus.SUCCEEDED)
    repositories.runs.record_stage(run, row, code=row.code, message=ended.message)
    _skip_unfinished(repositories, run, stages)
    if ended.outcome:
        run.outcome = ended.outcome.value
    if ended.pull_request_url:
        run.pr_url, run.pr_number = ended.pull_request_url, ended.pull_request_number
    if ended.code:
        run.failure_code = ended.code.value
        run.failure_message = ended.message
        run.failure_remedy = remedy
        run.failure_stage = stage.value
    repositories.runs.move(run, ended.status, message=ended.message, code=row.code)


def cancel_closes(run: SpecWorkflowRun, stages: Stages) -> bool:
    """
    Say whether a recorded cancel ends the run here and now.

    A publish stage that began to push has to come to its pull request first, after a crash
    too; until then the cancel waits, so that no branch is left without a word.
    """
    if run.cancel_requested_at is None:
        return False
    return run.publish_intent_at is None or StageStatus(stages[Stage.PUBLISH].status).is_finished


def close_as_cancelled(repositories: Repositories, run: SpecWorkflowRun, stages: Stages) -> None:
    """Close a locked run whose cancel was recorded; a stage that no one holds any more is given up."""
    for row in stages.values():
        if row.status == StageStatus.RUNNING.value:
            row.code = FailureCode.RUN_CANCELLED.value
            row.message = "Stopped, since the run was cancelled."
            repositories.stages.move(row, StageStatus.FAILED)
            repositories.runs.record_stage(run, row, code=row.code, message=row.message)
    _skip_unfinished(repositories, run, stages)
    reason = f" Reason: {run.cancel_reason}" if run.cancel_reason else ""
    repositories.runs.move(run, RunStatus.CANCELLED, message=f"The run was cancelled.{reason}")


def _skip_unfinished(repositories: Repositories, run: SpecWorkflowRun, stages: Stages) -> None:
    # A submission that stays live would keep its workspace for ever.
    repositories.submissions.abandon_live(run.id)
    for row in stages.values():
        if row.status in {StageStatus.QUEUED.value, StageStatus.WAITING.value}:
            repositories.stages.move(row, StageStatus.SKIPPED)
            repositories.runs.record_stage(run, row)
