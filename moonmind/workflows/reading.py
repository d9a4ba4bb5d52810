"""Read what operators look at: runs, an artifact's row, a page of the agent's log while it grows."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from api_service.db.models import SpecWorkflowTaskState
from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import ArtifactFolder
from moonmind.domain.states import Stage, StageStatus
from moonmind.schemas.workflow_models import ArtifactRead, RunParts, RunRead
from moonmind.stages.submit import LOG_NAME
from moonmind.workflows.speckit_celery.repositories import Repositories, RunFilter
from moonmind.workflows.speckit_celery.serializers import artifact_read, run_read
from moonmind.workflows.speckit_celery.storage import FileArtifactStore

# What a person reads to see what a stage did.
_LOG_TYPES = {
    Stage.DISCOVER: "discovery_snapshot",
    Stage.SUBMIT: "codex_logs",
    Stage.APPLY: "apply_output",
    Stage.PUBLISH: "gh_push_log",
    Stage.FINALIZE: "run_summary",
}
_MOST_BYTES = 1024 * 1024
# apply leaves its summary and the final patch under one type; the summary is for reading.
_SUMMARY_ENDING = ".json"


@dataclass(frozen=True)
class LogPage:
    """Some of a log, where to go on, and whether more can come."""

    content: bytes
    following: int
    complete: bool


@dataclass(frozen=True)
class Page:
    """Some runs, newest first, and whether there are more."""

    items: list[RunRead]
    more: bool


def run_page(
    database: Database, wanted: RunFilter, *, public_url: str, limit: int, include_tasks: bool = False
) -> Page:
    """Return the newest runs that a filter lets through, each with the summary of its stages."""
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        rows = repositories.runs.page(wanted, limit=limit + 1)
        stages: dict[UUID, list[SpecWorkflowTaskState]] = {row.id: [] for row in rows[:limit]}
        for stage in repositories.stages.all(list(stages)):
            stages[stage.run_id].append(stage)
        items = [
            run_read(row, public_url=public_url, stages=stages[row.id], include_tasks=include_tasks)
            for row in rows[:limit]
        ]
        return Page(items, more=len(rows) > limit)


def one_run(database: Database, run_id: UUID, *, public_url: str, parts: RunParts | None = None) -> RunRead:
    """Return a run with the wanted parts, all of them by default; raises `workflow_not_found`."""
    parts = parts or RunParts()
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.get(run_id)
        return run_read(
            run,
            public_url=public_url,
            stages=repositories.stages.all([run_id]),
            include_tasks=parts.include_tasks,
            artifacts=repositories.artifacts.all(run_id),
            include_artifacts=parts.include_artifacts,
            audits=repositories.audits.all(run_id) if parts.include_credential_audit else (),
        )


def find_artifact(database: Database, run_id: UUID, artifact_id: UUID) -> ArtifactRead:
    """Return an artifact of a run; raises `workflow_not_found` or `artifact_not_found`."""
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        repositories.runs.get(run_id)
        row = repositories.artifacts.get(run_id, artifact_id)
    if row is None:
        detail = f"Run {run_id} has no artifact {artifact_id}."
        raise WorkflowError(FailureCode.ARTIFACT_NOT_FOUND, detail, runId=str(run_id))
    return artifact_read(row)


def read_log_page(
    database: Database,
    store: FileArtifactStore,
    redact: Callable[[bytes], bytes],
    run_id: UUID,
    *,
    offset: int,
    stage: Stage = Stage.SUBMIT,
) -> LogPage:
    """
    Return whole lines of what the newest attempt of a stage left to read, from an offset on.

    While the agent works its log is the file that it writes, which has not passed redaction yet
    and therefore does so here. Raises `workflow_not_found` and what a changed file raises.
    """
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.get(run_id)
        row = repositories.stages.latest(run_id)[stage]
        sealed = [found for found in repositories.artifacts.all(run_id) if found.artifact_type == _LOG_TYPES[stage]]
    at_work = run.finished_at is None and not StageStatus(row.status).is_finished
    if at_work and stage is Stage.SUBMIT:
        return _live_page(store, redact, row, offset)
    if not sealed:
        return LogPage(b"", offset, complete=not at_work)
    newest = artifact_read(max(sealed, key=lambda found: (found.attempt, found.name.endswith(_SUMMARY_ENDING))))
    return _sealed_page(store, newest, offset)


def _sealed_page(store: FileArtifactStore, log: ArtifactRead, offset: int) -> LogPage:
    opened = store.open_for_download(log.path, size_bytes=log.size_bytes, sha256=log.digest.removeprefix("sha256:"))
    stop = min(offset + _MOST_BYTES, log.size_bytes)
    raw = b"".join(opened.chunks(min(offset, stop), stop))
    content, following = (raw, stop) if stop == log.size_bytes else _whole_lines(raw, offset)
    return LogPage(content, max(following, offset), complete=following >= log.size_bytes)


def _live_page(
    store: FileArtifactStore, redact: Callable[[bytes], bytes], submit: SpecWorkflowTaskState, offset: int
) -> LogPage:
    folder = ArtifactFolder(submit.run_id, Stage.SUBMIT, submit.attempt, submit.token)
    try:
        with store.live_path(folder, LOG_NAME).open("rb") as file:
            file.seek(offset)
            raw = file.read(_MOST_BYTES)
    except FileNotFoundError:
        # Nothing was said yet, or the log was sealed since we looked; the next call tells.
        return LogPage(b"", offset, complete=False)
    content, following = _whole_lines(raw, offset)
    return LogPage(redact(content), following, complete=False)


def _whole_lines(raw: bytes, offset: int) -> tuple[bytes, int]:
    """
    Cut to whole lines and return the offset after them.

    A line that is still being written is left for the next call, unless it fills a whole page.
    """
    if len(raw) == _MOST_BYTES and b"\n" not in raw:
        return raw, offset + len(raw)
    whole = raw[: raw.rfind(b"\n") + 1]
    return whole, offset + len(whole)
