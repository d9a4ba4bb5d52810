"""Write the summary of an ended run, after its end was committed and until it is there."""

import json
import secrets
from datetime import datetime
from typing import Any
from uuid import UUID

from api_service.db.models import SpecWorkflowRun
from api_service.db.session import Database
from moonmind.domain.ports import ArtifactFolder, ArtifactStore
from moonmind.domain.states import RunStatus, Stage
from moonmind.workflows.speckit_celery.repositories import Repositories

_NAME = "run_summary.json"


def write_summary(database: Database, store: ArtifactStore, run_id: UUID) -> None:
    """
    Store `run_summary.json` of an ended run.

    Repeating is safe: each try has a folder of its own, and the row is written once, by whoever
    finds it missing. Raises `artifact_store_unavailable`.
    """
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.get(run_id)
        if RunStatus(run.status).is_active or run.summary_at is not None:
            return
        attempt, content = run.attempt, _content(run, repositories)
    folder = ArtifactFolder(run_id, Stage.FINALIZE, attempt, token=secrets.randbits(31))
    stored = store.put(folder, "run_summary", _NAME, content)
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        locked = repositories.runs.lock(run_id)
        if locked is None or locked.attempt != attempt or locked.summary_at is not None:
            return
        repositories.artifacts.record(run_id, [stored], attempt=attempt)
        repositories.runs.summarised(locked)


def _content(run: SpecWorkflowRun, repositories: Repositories) -> bytes:
    summary: dict[str, Any] = {
        "runId": str(run.id),
        "repository": run.repository,
        "featureDir": run.feature_dir,
        "status": run.status,
        "outcome": run.outcome,
        "phase": run.phase_title,
        "taskIds": run.phase_task_ids,
        "attempt": run.attempt,
        "agent": run.agent,
        "baseSha": run.base_sha,
        "branchName": run.branch_name,
        "commitSha": run.commit_sha,
        "prUrl": run.pr_url,
        "prNumber": run.pr_number,
        "usage": run.usage,
        "failure": _failure(run),
        "createdAt": _time(run.created_at),
        "startedAt": _time(run.started_at),
        "finishedAt": _time(run.finished_at),
        "stages": [
            {
                "taskName": row.task_name,
                "attempt": row.attempt,
                "status": row.status,
                "code": row.code,
                "message": row.message,
                "durationMs": row.duration_ms,
                "crashes": row.crashes,
            }
            for row in repositories.stages.all([run.id])
        ],
    }
    return json.dumps(summary, indent=2, ensure_ascii=False).encode()


def _failure(run: SpecWorkflowRun) -> dict[str, str | None] | None:
    if run.failure_code is None:
        return None
    return {
        "code": run.failure_code,
        "message": run.failure_message,
        "remedy": run.failure_remedy,
        "stage": run.failure_stage,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
