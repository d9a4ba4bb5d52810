"""Serve the bytes of artifacts, and the log of an agent while it works."""

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api_service.api.dependencies import ApiServices, ServicesDep, ViewerDep
from api_service.api.problems import NOT_FOUND, PROBLEM, PROBLEMS
from api_service.db.models import SpecWorkflowTaskState, WorkflowArtifact
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import ArtifactFolder
from moonmind.domain.states import Stage, StageStatus
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workflows.speckit_celery.serializers import API_PREFIX

router = APIRouter(prefix=API_PREFIX, tags=["artifacts"], responses=PROBLEMS)
LOG_NAME = "codex_logs.jsonl"
_LOG_TYPE = "codex_logs"
_MOST_LOG_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-cache",
}


@router.get(
    "/runs/{run_id}/artifacts/{artifact_id}/content",
    operation_id="downloadArtifact",
    response_class=StreamingResponse,
    responses={
        **NOT_FOUND,
        200: {"content": {"application/octet-stream": {}}, "description": "The bytes."},
        206: {"content": {"application/octet-stream": {}}, "description": "The wanted range."},
        304: {"description": "The digest is the one that is known already."},
        409: {**PROBLEM, "description": "The file was changed after it was stored."},
        410: {**PROBLEM, "description": "The file is gone."},
        416: {"description": "The range lies outside the file."},
    },
)
def download(
    run_id: UUID,
    artifact_id: UUID,
    services: ServicesDep,
    _viewer: ViewerDep,
    wanted_range: Annotated[str | None, Header(alias="Range")] = None,
    known: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Response:
    """Send the file if its digest is still the one that was recorded."""
    row = _artifact(services, run_id, artifact_id)
    etag = f'"sha256:{row.sha256}"'
    headers = {**_SAFETY, "ETag": etag, "Accept-Ranges": "bytes", "Content-Disposition": _attachment(row.name)}
    if known is not None and etag in (part.strip() for part in known.split(",")):
        return Response(status_code=304, headers=headers)
    start, stop, status = _bounds(wanted_range, row.size_bytes)
    if status == 416:  # noqa: PLR2004 - the status number is the name
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{row.size_bytes}"})
    opened = services.store.open_for_download(row.path, size_bytes=row.size_bytes, sha256=row.sha256)
    headers["Content-Length"] = str(stop - start)
    if status == 206:  # noqa: PLR2004
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{row.size_bytes}"
    return StreamingResponse(opened.chunks(start, stop), status, headers, media_type=row.content_type)


@router.get(
    "/runs/{run_id}/logs",
    operation_id="readLog",
    response_class=Response,
    responses={**NOT_FOUND, 200: {"content": {"application/x-ndjson": {}}, "description": "Whole lines of the log."}},
)
def read_log(
    run_id: UUID, services: ServicesDep, _viewer: ViewerDep, offset: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """
    Send the agent's log from an offset on, live while it works.

    `X-Next-Offset` is the offset to go on with, `X-Log-Complete` says that nothing more will come.
    """
    page = _read_log(services, run_id, offset)
    headers = {**_SAFETY, "X-Next-Offset": str(page.following), "X-Log-Complete": str(page.complete).lower()}
    return Response(page.content, headers=headers, media_type="application/x-ndjson")


@dataclass(frozen=True)
class _LogPage:
    content: bytes
    following: int
    complete: bool


def _read_log(services: ApiServices, run_id: UUID, offset: int) -> _LogPage:
    with services.database.reading() as session:
        repositories = Repositories(session, services.database.clock)
        run = repositories.runs.get(run_id)
        submit = repositories.stages.latest(run_id)[Stage.SUBMIT]
        sealed = [row for row in repositories.artifacts.all(run_id) if row.artifact_type == _LOG_TYPE]
    if run.finished_at is None and not StageStatus(submit.status).is_finished:
        return _live_page(services, submit, offset)
    if not sealed:
        return _LogPage(b"", offset, complete=True)
    row = max(sealed, key=lambda row: row.attempt)
    opened = services.store.open_for_download(row.path, size_bytes=row.size_bytes, sha256=row.sha256)
    stop = min(offset + _MOST_LOG_BYTES, row.size_bytes)
    if offset >= row.size_bytes:
        opened.close()
        return _LogPage(b"", offset, complete=True)
    content, following = _whole_lines(b"".join(opened.chunks(offset, stop)), offset, at_end=stop == row.size_bytes)
    return _LogPage(content, following, complete=following >= row.size_bytes)


def _live_page(services: ApiServices, submit: SpecWorkflowTaskState, offset: int) -> _LogPage:
    folder = ArtifactFolder(submit.run_id, Stage.SUBMIT, submit.attempt, submit.token)
    try:
        with services.store.live_path(folder, LOG_NAME).open("rb") as file:
            file.seek(offset)
            raw = file.read(_MOST_LOG_BYTES)
    except FileNotFoundError:
        # Nothing was said yet, or the log was sealed since we looked; the next call tells.
        return _LogPage(b"", offset, complete=False)
    content, following = _whole_lines(raw, offset, at_end=False)
    return _LogPage(services.redact(content), following, complete=False)


def _whole_lines(raw: bytes, offset: int, *, at_end: bool) -> tuple[bytes, int]:
    """
    Cut to whole lines and return the offset after them.

    A line that is still being written is left for the next call, unless it fills a whole page.
    """
    if at_end or (len(raw) == _MOST_LOG_BYTES and b"\n" not in raw):
        return raw, offset + len(raw)
    whole = raw[: raw.rfind(b"\n") + 1]
    return whole, offset + len(whole)


def _artifact(services: ApiServices, run_id: UUID, artifact_id: UUID) -> WorkflowArtifact:
    with services.database.reading() as session:
        repositories = Repositories(session, services.database.clock)
        repositories.runs.get(run_id)
        row = repositories.artifacts.get(run_id, artifact_id)
    if row is None:
        detail = f"Run {run_id} has no artifact {artifact_id}."
        raise WorkflowError(FailureCode.ARTIFACT_NOT_FOUND, detail, runId=str(run_id))
    return row


def _bounds(wanted: str | None, size: int) -> tuple[int, int, int]:
    """Return start, stop and status; a range that cannot be read is ignored, as RFC 9110 says."""
    match = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None or match.groups() == ("", ""):
        return 0, size, 200
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    return (start, stop, 206) if start < stop else (0, 0, 416)


def _attachment(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
