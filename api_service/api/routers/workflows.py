"""Serve runs: order them, list them, and show what became of them."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from api_service.api.cursors import make_cursor, read_cursor
from api_service.api.dependencies import ApiServices, OperatorDep, ServicesDep, ViewerDep
from api_service.api.problems import NOT_FOUND, PROBLEM, PROBLEMS
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.schemas.preview_models import PreviewRead
from moonmind.schemas.workflow_models import (
    ArtifactList,
    RunCancel,
    RunCreate,
    RunPage,
    RunParts,
    RunQuery,
    RunRead,
    RunRetry,
    TaskList,
)
from moonmind.workflows import (
    IdempotentRequest,
    NewRun,
    Preview,
    RetryRequest,
    cancel_spec_workflow_run,
    retry_spec_workflow_run,
    start_spec_workflow_run,
)
from moonmind.workflows.reading import one_run, run_page
from moonmind.workflows.speckit_celery.repositories import RunFilter
from moonmind.workflows.speckit_celery.serializers import API_PREFIX

router = APIRouter(prefix=API_PREFIX, tags=["runs"], responses=PROBLEMS)
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


@router.post(
    "/runs",
    status_code=202,
    operation_id="createRun",
    responses={409: {**PROBLEM, "description": "The feature has an active run, or the key another body."}},
)
def create_run(
    order: RunCreate,
    services: ServicesDep,
    operator: OperatorDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RunRead:
    """Order the next phase. The run is recorded before the answer, whether or not a broker is up."""
    run_id = start_spec_workflow_run(
        services.database,
        _new_run(order, services, requested_by=operator.name),
        grace=services.grace,
        request=_idempotent(order, operator.token_id, idempotency_key),
    )
    services.courier(run_id)
    response.headers["Location"] = f"{API_PREFIX}/runs/{run_id}"
    return _read_run(services, run_id, RunParts())


@router.post(
    "/preview",
    operation_id="previewRun",
    responses={409: {**PROBLEM, "description": "What would end the run, such as a feature that is not there."}},
)
def preview_run(order: RunCreate, services: ServicesDep, operator: OperatorDep) -> PreviewRead:
    """
    Say what a run would do; nothing is written.

    It reads the repository with the service's own rights, so it takes an operator as a run does.
    """
    preview = services.preview(_new_run(order, services, requested_by=operator.name))
    return PreviewRead.model_validate(_without_secrets(preview, services.redact))


@router.get("/runs", operation_id="listRuns")
def list_runs(services: ServicesDep, _viewer: ViewerDep, query: Annotated[RunQuery, Query()]) -> RunPage:
    """List runs, newest first; the cursor stays valid while new ones arrive."""
    wanted = RunFilter(
        statuses=query.status,
        repository=query.repository,
        feature_key=query.feature_key,
        requested_by=query.requested_by,
        created_after=query.created_after,
        before=read_cursor(services.cursor_key, query.cursor) if query.cursor else None,
    )
    page = run_page(
        services.database,
        wanted,
        public_url=services.public_url,
        limit=query.limit,
        include_tasks=query.include_tasks,
    )
    last = page.items[-1] if page.more else None
    next_cursor = make_cursor(services.cursor_key, last.created_at, last.id) if last else None
    return RunPage(items=page.items, next_cursor=next_cursor)


@router.get("/runs/{run_id}", operation_id="getRun", responses=NOT_FOUND)
def get_run(run_id: UUID, services: ServicesDep, _viewer: ViewerDep, parts: Annotated[RunParts, Query()]) -> RunRead:
    """Show one run."""
    return _read_run(services, run_id, parts)


@router.post(
    "/runs/{run_id}/retry",
    status_code=202,
    operation_id="retryRun",
    responses={**NOT_FOUND, 409: {**PROBLEM, "description": "The run cannot be retried, or credentials fail."}},
)
def retry_run(run_id: UUID, services: ServicesDep, _operator: OperatorDep, wish: RunRetry | None = None) -> RunRead:
    """Go on with a failed or cancelled run; every earlier row, log and artifact stays."""
    wish = wish or RunRetry()
    retry_spec_workflow_run(
        services.database,
        services.store,
        RetryRequest(run_id, wish.mode, wish.notes),
        check_credentials=services.check_credentials,
        grace=services.grace,
    )
    services.courier(run_id)
    return _read_run(services, run_id, RunParts())


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    operation_id="cancelRun",
    responses={**NOT_FOUND, 409: {**PROBLEM, "description": "The run has ended."}},
)
def cancel_run(run_id: UUID, services: ServicesDep, _operator: OperatorDep, wish: RunCancel | None = None) -> RunRead:
    """Stop a run; one that began to publish ends with its pull request. Asking again is safe."""
    cancel_spec_workflow_run(services.database, run_id, reason=wish.reason if wish else None)
    return _read_run(services, run_id, RunParts())


@router.get("/runs/{run_id}/tasks", operation_id="listTasks", responses=NOT_FOUND)
def list_tasks(run_id: UUID, services: ServicesDep, _viewer: ViewerDep) -> TaskList:
    """List all attempts of all stages, in order."""
    run = _read_run(services, run_id, RunParts(include_credential_audit=False))
    return TaskList(run_id=run_id, tasks=run.tasks)


@router.get("/runs/{run_id}/artifacts", operation_id="listArtifacts", responses=NOT_FOUND)
def list_artifacts(run_id: UUID, services: ServicesDep, _viewer: ViewerDep) -> ArtifactList:
    """List the artifacts with their digests and download addresses."""
    run = _read_run(services, run_id, RunParts(include_tasks=False, include_credential_audit=False))
    return ArtifactList(run_id=run_id, artifacts=run.artifacts)


def _without_secrets(preview: Preview, redact: Callable[[bytes], bytes]) -> Preview:
    def clean(text: str) -> str:
        return redact(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")

    return replace(
        preview,
        tasks=tuple(replace(task, text=clean(task.text)) for task in preview.tasks),
        prompt=None if preview.prompt is None else clean(preview.prompt),
    )


def _read_run(services: ApiServices, run_id: UUID, parts: RunParts) -> RunRead:
    return one_run(services.database, run_id, public_url=services.public_url, parts=parts)


def _new_run(order: RunCreate, services: ApiServices, *, requested_by: str) -> NewRun:
    agent = order.agent or services.agent
    if agent not in services.agents:
        known = ", ".join(sorted(services.agents))
        raise WorkflowError(FailureCode.REQUEST_INVALID, f"There is no agent {agent!r}; there is {known}.")
    queue, publish_queue = services.queues
    return NewRun(
        repository=order.repository,
        feature_key=order.feature_key,
        agent=agent,
        requested_by=requested_by,
        queue=queue,
        publish_queue=publish_queue,
        base_branch=order.base_branch,
        wanted_phase=order.selected_phase,
        wanted_task_ids=tuple(order.task_ids or ()),
        notes=order.notes,
    )


def _idempotent(order: RunCreate, token_id: str, key: str | None) -> IdempotentRequest | None:
    if key is None:
        return None
    return IdempotentRequest(token_id, key, hashlib.sha256(order.model_dump_json().encode()).hexdigest())
