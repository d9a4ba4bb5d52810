"""Serve the bytes of artifacts, and the log of an agent while it works."""

import re
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api_service.api.dependencies import ServicesDep, ViewerDep
from api_service.api.problems import NOT_FOUND, PROBLEM, PROBLEMS
from moonmind.domain.states import Stage
from moonmind.workflows.reading import find_artifact, read_log_page
from moonmind.workflows.speckit_celery.serializers import API_PREFIX

router = APIRouter(prefix=API_PREFIX, tags=["artifacts"], responses=PROBLEMS)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_LARGEST_OFFSET = 2**62
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
    row = find_artifact(services.database, run_id, artifact_id)
    etag = f'"{row.digest}"'
    headers = {**_SAFETY, "ETag": etag, "Accept-Ranges": "bytes", "Content-Disposition": _attachment(row.name)}
    if known is not None and etag in (part.strip() for part in known.split(",")):
        return Response(status_code=304, headers=headers)
    start, stop, status = _bounds(wanted_range, row.size_bytes)
    if status == 416:  # noqa: PLR2004 - the status number is the name
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{row.size_bytes}"})
    opened = services.store.open_for_download(
        row.path, size_bytes=row.size_bytes, sha256=row.digest.removeprefix("sha256:")
    )
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
    run_id: UUID,
    services: ServicesDep,
    _viewer: ViewerDep,
    offset: Annotated[int, Query(ge=0, le=_LARGEST_OFFSET)] = 0,
    stage: Stage = Stage.SUBMIT,
) -> Response:
    """
    Send the agent's log from an offset on, live while it works, or what another stage left to read.

    `X-Next-Offset` is the offset to go on with, `X-Log-Complete` says that nothing more will come.
    """
    page = read_log_page(services.database, services.store, services.redact, run_id, offset=offset, stage=stage)
    headers = {**_SAFETY, "X-Next-Offset": str(page.following), "X-Log-Complete": str(page.complete).lower()}
    return Response(page.content, headers=headers, media_type="application/x-ndjson")


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
