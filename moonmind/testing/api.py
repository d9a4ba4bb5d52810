"""Stand in for the HTTP API in tests of its clients, without a socket; it refuses what the real one refuses."""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode, FailureKind
from moonmind.domain.states import ACTIVE_RUN_STATUSES, RunStatus

Json = dict[str, object]

TOKEN = "mm_test_secret"  # noqa: S105 - opens nothing but this stand-in
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_PREFIX = "/api/workflows/speckit"
_STATUS = {
    FailureKind.INVALID: 422,
    FailureKind.DENIED: 401,
    FailureKind.NOT_FOUND: 404,
    FailureKind.CONFLICT: 409,
    FailureKind.RUN: 409,
}
_ORDER_FIELDS = {"repository", "featureKey", "selectedPhase", "taskIds", "baseBranch", "agent", "notes"}
_QUERY = {"status", "repository", "featureKey", "requestedBy", "createdAfter", "limit", "cursor", "includeTasks"}
_PARTS = {"includeTasks", "includeArtifacts", "includeCredentialAudit"}
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MODES = {"resume_failed_task", "restart_from_discovery"}
_MOST = 100


@dataclass
class InMemoryApi:
    """
    Runs in a dictionary, newest last; a test arranges and changes them directly.

    `before` holds what happens instead of the next requests (an answer or an error), and
    `lost_answers` how many answers get lost after their request was carried out.
    """

    runs: dict[str, Json] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    sealed_logs: set[str] = field(default_factory=set)
    preview: Json = field(default_factory=dict)
    before: list[httpx.Response | httpx.RequestError] = field(default_factory=list)
    lost_answers: int = 0
    requests: list[httpx.Request] = field(default_factory=list)
    _keys: dict[str, tuple[Json, str]] = field(default_factory=dict)

    def add_run(self, **fields: object) -> Json:
        """Add a run that is newer than all others."""
        created = (NOW + timedelta(seconds=len(self.runs))).isoformat()
        run: Json = {
            "id": str(uuid.uuid4()),
            "repository": "acme/site",
            "featureKey": "001-login",
            "status": RunStatus.RUNNING.value,
            "attempt": 1,
            "requestedBy": "ada",
            "createdAt": created,
            "updatedAt": created,
            "tasks": [],
            "artifacts": [],
            **fields,
        }
        self.runs[str(run["id"])] = run
        return run

    def add_artifact(self, run_id: str, artifact_type: str, name: str, content: bytes, *, attempt: int = 1) -> Json:
        """Add a stored file."""
        artifact: Json = {
            "id": str(uuid.uuid4()),
            "artifactType": artifact_type,
            "name": name,
            "path": f"{run_id}/{attempt}/{name}",
            "contentType": "text/plain",
            "sizeBytes": len(content),
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "attempt": attempt,
            "createdAt": NOW.isoformat(),
        }
        self.files[str(artifact["id"])] = content
        stored = self.runs[run_id]["artifacts"]
        if isinstance(stored, list):
            stored.append(artifact)
        return artifact

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request as the service would."""
        self.requests.append(request)
        if self.before:
            instead = self.before.pop(0)
            if isinstance(instead, httpx.RequestError):
                raise instead
            return instead
        try:
            response = self._route(request)
        except WorkflowError as error:
            response = problem(error)
        if self.lost_answers:
            self.lost_answers -= 1
            message = "the answer was lost"
            raise httpx.ReadError(message, request=request)
        return response

    def _route(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise WorkflowError(FailureCode.AUTHENTICATION_REQUIRED, "No valid token was sent.")
        for (method, pattern), handler in self._routes().items():
            match = re.fullmatch(_PREFIX + pattern, request.url.path)
            if match and method == request.method:
                return handler(request, *match.groups())
        raise WorkflowError(FailureCode.ROUTE_NOT_FOUND, f"There is no {request.method} {request.url.path}.")

    def _routes(self) -> Mapping[tuple[str, str], Callable[..., httpx.Response]]:
        run = "/runs/([^/]+)"
        return {
            ("POST", "/runs"): self._create,
            ("POST", "/preview"): self._preview,
            ("GET", "/runs"): self._list,
            ("GET", run): self._show,
            ("GET", f"{run}/artifacts"): self._artifacts,
            ("GET", f"{run}/artifacts/([^/]+)/content"): self._content,
            ("GET", f"{run}/logs"): self._log,
            ("POST", f"{run}/retry"): self._retry,
            ("POST", f"{run}/cancel"): self._cancel,
        }

    def _create(self, request: httpx.Request) -> httpx.Response:
        order = _order(request)
        key = request.headers.get("Idempotency-Key")
        if key in self._keys:
            known, run_id = self._keys[key]
            if known != order:
                raise WorkflowError(FailureCode.IDEMPOTENCY_KEY_REUSED, "The key was used for another body.")
            return httpx.Response(202, json=self.runs[run_id])
        wanted = (order["repository"], order.get("featureKey"))
        for run in self.runs.values():
            if (run["repository"], run["featureKey"]) == wanted and run["status"] in ACTIVE_RUN_STATUSES:
                detail = f"Run {run['id']} is active."
                raise WorkflowError(FailureCode.WORKFLOW_CONFLICT, detail, runId=run["id"])
        run = self.add_run(status=RunStatus.PENDING.value, notes=order.get("notes"), **_named(order))
        if key:
            self._keys[key] = (order, str(run["id"]))
        return httpx.Response(202, json=run)

    def _preview(self, request: httpx.Request) -> httpx.Response:
        _order(request)
        return httpx.Response(200, json=self.preview)

    def _list(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        _refuse_unknown(set(query), _QUERY)
        limit = int(query.get("limit", "25"))
        if not 1 <= limit <= _MOST:
            raise WorkflowError(FailureCode.REQUEST_INVALID, "Not valid: query.limit.")
        statuses = query.get_list("status")
        found = [
            run
            for run in reversed(self.runs.values())
            if (not statuses or run["status"] in statuses)
            and query.get("repository", run["repository"]) == run["repository"]
            and query.get("featureKey", run["featureKey"]) == run["featureKey"]
        ]
        if "cursor" in query:
            ids = [run["id"] for run in found]
            if query["cursor"] not in ids:
                raise WorkflowError(FailureCode.CURSOR_INVALID, "The cursor is not one of ours.")
            found = found[ids.index(query["cursor"]) + 1 :]
        page = found[:limit]
        return httpx.Response(200, json={"items": page, "nextCursor": page[-1]["id"] if len(found) > limit else None})

    def _show(self, request: httpx.Request, run_id: str) -> httpx.Response:
        _refuse_unknown(set(request.url.params), _PARTS)
        return httpx.Response(200, json=self._run(run_id))

    def _artifacts(self, request: httpx.Request, run_id: str) -> httpx.Response:
        return httpx.Response(200, json={"runId": run_id, "artifacts": self._run(run_id)["artifacts"]})

    def _content(self, request: httpx.Request, run_id: str, artifact_id: str) -> httpx.Response:
        self._run(run_id)
        if artifact_id not in self.files:
            raise WorkflowError(FailureCode.ARTIFACT_NOT_FOUND, "There is no such artifact.", runId=run_id)
        return httpx.Response(200, content=self.files[artifact_id])

    def _log(self, request: httpx.Request, run_id: str) -> httpx.Response:
        self._run(run_id)
        if run_id not in self.logs:
            raise WorkflowError(FailureCode.ARTIFACT_NOT_FOUND, "There is no log yet.", runId=run_id)
        log = self.logs[run_id]
        rest = log[int(request.url.params.get("offset", "0")) :]
        headers = {"X-Next-Offset": str(len(log)), "X-Log-Complete": str(run_id in self.sealed_logs).lower()}
        return httpx.Response(200, content=rest, headers={"Content-Type": "text/plain", **headers})

    def _retry(self, request: httpx.Request, run_id: str) -> httpx.Response:
        body = _body(request, {"mode", "notes"})
        if body.get("mode", "resume_failed_task") not in _MODES:
            raise WorkflowError(FailureCode.REQUEST_INVALID, "Not valid: body.mode.")
        run = self._run(run_id)
        if run["status"] not in {RunStatus.FAILED, RunStatus.CANCELLED}:
            raise WorkflowError(FailureCode.RETRY_NOT_ALLOWED, f"The run is {run['status']}.", runId=run_id)
        run.update(status=RunStatus.RETRYING.value, attempt=2, failure=None)
        return httpx.Response(202, json=run)

    def _cancel(self, request: httpx.Request, run_id: str) -> httpx.Response:
        _body(request, {"reason"})
        run = self._run(run_id)
        if run["status"] not in ACTIVE_RUN_STATUSES | {RunStatus.CANCELLED}:
            raise WorkflowError(FailureCode.CANCEL_NOT_ALLOWED, f"The run is {run['status']}.", runId=run_id)
        run.setdefault("cancelRequestedAt", NOW.isoformat())
        return httpx.Response(202, json=run)

    def _run(self, run_id: str) -> Json:
        if run_id not in self.runs:
            raise WorkflowError(FailureCode.WORKFLOW_NOT_FOUND, f"There is no run {run_id}.")
        return self.runs[run_id]


def problem(error: WorkflowError) -> httpx.Response:
    """Return the problem document of a failure."""
    status = _STATUS.get(error.failure.kind, 503)
    body = {"type": f"/docs/runbook#{error.code}", "title": error.failure.title, "status": status}
    body |= {"detail": error.detail, "code": str(error.code), "remedy": error.remedy, **error.facts}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


def _order(request: httpx.Request) -> Json:
    order = _body(request, _ORDER_FIELDS)
    repository = order.get("repository")
    if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
        errors = [{"loc": ["body", "repository"], "msg": "String should match the pattern", "type": "string_pattern"}]
        raise WorkflowError(FailureCode.REQUEST_INVALID, "Not valid: body.repository.", errors=errors)
    return order


def _named(order: Mapping[str, object]) -> Json:
    return {name: order.get(name) for name in ("repository", "featureKey", "baseBranch")}


def _body(request: httpx.Request, known: set[str]) -> Json:
    body = json.loads(request.content or b"{}")
    if not isinstance(body, dict):
        raise WorkflowError(FailureCode.REQUEST_INVALID, "Not valid: body.")
    _refuse_unknown(set(body), known)
    return body


def _refuse_unknown(names: set[str], known: set[str]) -> None:
    if names - known:
        raise WorkflowError(FailureCode.REQUEST_INVALID, f"Not valid: {', '.join(sorted(names - known))}.")
