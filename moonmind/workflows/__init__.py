"""Preview, start, retry and cancel spec workflow runs: the facade that the API and the command line call."""

from moonmind.workflows.cancelling import cancel_spec_workflow_run
from moonmind.workflows.previewing import Preview, preview_spec_workflow_run
from moonmind.workflows.retrying import RetryRequest, retry_spec_workflow_run
from moonmind.workflows.speckit_celery.repositories import NewRun
from moonmind.workflows.starting import IdempotentRequest, start_spec_workflow_run

__all__ = [
    "IdempotentRequest",
    "NewRun",
    "Preview",
    "RetryRequest",
    "cancel_spec_workflow_run",
    "preview_spec_workflow_run",
    "retry_spec_workflow_run",
    "start_spec_workflow_run",
]
