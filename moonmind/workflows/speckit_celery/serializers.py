"""Turn rows into the JSON of the API."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from pydantic.alias_generators import to_camel

from api_service.db.models import (
    SpecWorkflowRun,
    SpecWorkflowTaskState,
    WorkflowArtifact,
    WorkflowCredentialAudit,
)
from moonmind.domain.results import Applied, Discovered, Finalized, Published, StageResult, Submitted, TaskRef
from moonmind.domain.states import Stage, StageStatus
from moonmind.schemas.workflow_models import (
    ArtifactRead,
    CredentialAuditRead,
    FailureRead,
    RunRead,
    SelectedPhase,
    TaskRead,
    TaskSummary,
)
from moonmind.workflows.speckit_celery.recording import decode_result

API_PREFIX = "/api/workflows/speckit"


def run_read(
    run: SpecWorkflowRun,
    *,
    public_url: str,
    stages: Sequence[SpecWorkflowTaskState] = (),
    include_tasks: bool = True,
    artifacts: Sequence[WorkflowArtifact] = (),
    include_artifacts: bool = True,
    audits: Sequence[WorkflowCredentialAudit] = (),
) -> RunRead:
    """Return a run; parts that were not asked for are empty lists."""
    plain = {name: getattr(run, name) for name in _PLAIN}
    return RunRead(
        **plain,
        selected_phase=_phase(run),
        failure=_failure(run, public_url),
        tasks=[task_read(row, artifacts) for row in stages] if include_tasks else [],
        task_summary=_summary(stages),
        artifacts=[artifact_read(row) for row in artifacts] if include_artifacts else [],
        credential_audit=[CredentialAuditRead.model_validate(row) for row in audits],
    )


def task_read(row: SpecWorkflowTaskState, artifacts: Sequence[WorkflowArtifact] = ()) -> TaskRead:
    """Return one attempt at a stage with its payload as operators read it; `artifacts` are the run's."""
    result = _result(row)
    return TaskRead(
        id=row.id,
        task_name=row.task_name,
        status=row.status,
        attempt=row.attempt,
        payload=_payload(row, result, artifacts),
        message=row.message,
        artifact_paths=sorted(stored.path for stored in artifacts if _is_from(row, stored)),
        retry_count=max(row.attempt - 1, 0) + row.crashes,
        started_at=row.started_at,
        finished_at=row.finished_at,
        next_poll_at=row.next_poll_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _is_from(row: SpecWorkflowTaskState, stored: WorkflowArtifact) -> bool:
    # The folder of a claim has stage and attempt in its name; a stage that failed left its files there too.
    return f"/a{row.attempt}-{row.task_name}-t" in stored.path


def artifact_read(row: WorkflowArtifact) -> ArtifactRead:
    """Return an artifact with its download address."""
    return ArtifactRead(
        id=row.id,
        artifact_type=row.artifact_type,
        name=row.name,
        path=row.path,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        digest=f"sha256:{row.sha256}",
        attempt=row.attempt,
        created_at=row.created_at,
        download_url=f"{API_PREFIX}/runs/{row.run_id}/artifacts/{row.id}/content",
    )


_DERIVED = {"selected_phase", "failure", "tasks", "task_summary", "artifacts", "credential_audit"}
_PLAIN = tuple(name for name in RunRead.model_fields if name not in _DERIVED)


def _phase(run: SpecWorkflowRun) -> SelectedPhase | None:
    if run.phase_title is None or run.phase_line is None:
        return None
    return SelectedPhase(title=run.phase_title, line=run.phase_line, task_ids=[str(i) for i in run.phase_task_ids])


def _failure(run: SpecWorkflowRun, public_url: str) -> FailureRead | None:
    if run.failure_code is None:
        return None
    return FailureRead(
        code=run.failure_code,
        message=run.failure_message or "",
        remedy=run.failure_remedy or "",
        stage=run.failure_stage,
        runbook_url=f"{public_url.rstrip('/')}/docs/runbook#{run.failure_code}",
    )


def _summary(stages: Sequence[SpecWorkflowTaskState]) -> list[TaskSummary]:
    newest = {row.task_name: row for row in sorted(stages, key=lambda row: row.attempt)}
    rows = sorted(newest.values(), key=lambda row: row.position)
    return [TaskSummary(task_name=row.task_name, status=row.status, attempt=row.attempt) for row in rows]


def _result(row: SpecWorkflowTaskState) -> StageResult | None:
    if row.result is None or row.status != StageStatus.SUCCEEDED.value:
        return None
    return decode_result(Stage(row.task_name), row.result)


def _payload(
    row: SpecWorkflowTaskState, result: StageResult | None, artifacts: Sequence[WorkflowArtifact]
) -> dict[str, Any]:
    common: dict[str, Any] = {
        "result": row.status,
        "code": row.code,
        "message": row.message,
        "remedy": row.remedy,
        "durationMs": row.duration_ms,
        "crashes": row.crashes,
    }
    # A stage that failed has facts in the place of a result.
    found = (row.result or {}) if result is None else _details(result, artifacts)
    return {name: value for name, value in common.items() if value is not None} | found


def _details(result: StageResult, artifacts: Sequence[WorkflowArtifact]) -> dict[str, Any]:
    match result:
        case Discovered():
            return {
                **_fields(result, "feature_dir", "base_branch", "base_sha", "tasks_sha256", "warnings", "branch"),
                "feature": result.feature_key,
                "phase": {"title": result.phase.title, "line": result.phase.line},
                "taskIds": _names(result.tasks),
                "counts": {"total": result.tasks_total, "done": result.tasks_done, "selected": len(result.tasks)},
            }
        case Submitted():
            return {
                **_fields(result, "agent", "task_id", "task_url", "exit_code", "last_message", "failed_commands"),
                "version": result.agent_version,
                "usage": None if result.usage is None else _camel(vars(result.usage)),
            }
        case Applied():
            return {
                **_fields(result, "insertions", "deletions", "unverified", "warnings"),
                "files": [_camel({k: v for k, v in vars(change).items() if v != ""}) for change in result.files],
                "ticked": _names(result.ticked),
                "leftOpen": _names(result.left_open),
                "conflicts": [],
            }
        case Published():
            return {
                **_fields(result, "branch", "commit_sha", "outcome"),
                "prNumber": result.pull_request_number,
                "prUrl": result.pull_request_url,
            }
        case Finalized():
            # A finished run has artifacts; without any they were not asked for.
            ids = [str(artifact.id) for artifact in artifacts]
            return {"outcome": result.outcome.value} | ({"artifactIds": ids} if ids else {})
        case _:
            assert_never(result)


def _fields(result: object, *names: str) -> dict[str, Any]:
    return _camel({name: getattr(result, name) for name in names})


def _camel(values: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): value for name, value in values.items()}


def _names(tasks: Sequence[TaskRef]) -> list[str]:
    return [task.id or f"line {task.line}" for task in tasks]
