"""Cancel a run: what has not begun to publish never leaves, what has ends with its pull request."""

from uuid import UUID

from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.states import RunStatus
from moonmind.workflows.speckit_celery.claims import cancel_if_asked
from moonmind.workflows.speckit_celery.repositories import Repositories


def cancel_spec_workflow_run(database: Database, run_id: UUID, *, reason: str | None) -> None:
    """
    Record the wish, and close the run at once when no stage is at work.

    A stage at work sees it within a second, ends its processes and closes the run itself.
    Repeating is safe and changes nothing. Raises `cancel_not_allowed` or `workflow_not_found`.
    """
    with database.transaction() as session:
        runs = Repositories(session, database.clock).runs
        run = runs.lock(run_id)
        if run is None:
            raise WorkflowError(FailureCode.WORKFLOW_NOT_FOUND, f"There is no run {run_id}.")
        status = RunStatus(run.status)
        if status is RunStatus.CANCELLED:
            return
        if not status.is_active:
            detail = f"Run {run_id} has ended as {status}."
            raise WorkflowError(FailureCode.CANCEL_NOT_ALLOWED, detail, runId=str(run_id))
        runs.request_cancel(run, reason=reason)
    cancel_if_asked(database, run_id)
