"""Answer every failure as an RFC 9457 problem with a code and the next step."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode, FailureKind

_log = structlog.get_logger(__name__)

_STATUS = {
    FailureKind.INVALID: 422,
    FailureKind.DENIED: 401,
    FailureKind.FORBIDDEN: 403,
    FailureKind.NOT_FOUND: 404,
    FailureKind.CONFLICT: 409,
    FailureKind.GONE: 410,
    FailureKind.TOO_LARGE: 413,
    FailureKind.UNAVAILABLE: 503,
    FailureKind.BUG: 500,
    # A failure of a run that surfaces in a request, such as a repository that is not there.
    FailureKind.RUN: 409,
}
_BAD_REQUEST = 400
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}


def install_error_handlers(app: FastAPI) -> None:
    """Make every way to fail answer as a problem."""
    app.add_exception_handler(WorkflowError, _workflow_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _bug)


def problem_response(error: WorkflowError, *, errors: Sequence[Mapping[str, object]] | None = None) -> JSONResponse:
    """Return the problem document of a failure."""
    failure = error.failure
    status = _STATUS[failure.kind]
    body: dict[str, object] = {
        "type": f"/docs/runbook#{error.code.value}",
        "title": failure.title,
        "status": status,
        "detail": error.detail,
        "code": error.code.value,
        "remedy": error.remedy,
        **error.facts,
    }
    if errors is not None:
        body["errors"] = errors
    return JSONResponse(
        jsonable_encoder(body), status, headers=_HEADERS.get(status), media_type="application/problem+json"
    )


def _workflow_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, WorkflowError):
        raise error
    if error.code is FailureCode.AUTHENTICATION_REQUIRED and _is_browser(request):
        return RedirectResponse(f"/sign-in?then={quote(request.url.path)}", 303)
    return problem_response(error)


def _is_browser(request: Request) -> bool:
    # A person who follows a link is led to the form; a script gets its 401.
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    # The input itself is left out: it may be a secret that was sent to the wrong field.
    errors = [
        {"loc": list(entry["loc"]), "msg": str(entry["msg"]), "type": str(entry["type"])} for entry in error.errors()
    ]
    named = ", ".join(".".join(str(part) for part in entry["loc"]) for entry in error.errors())
    return problem_response(WorkflowError(FailureCode.REQUEST_INVALID, f"Not valid: {named}."), errors=errors)


def _http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == _BAD_REQUEST:
        return problem_response(WorkflowError(FailureCode.REQUEST_INVALID, "The request cannot be read."))
    detail = f"There is no {request.method} {request.url.path}."
    return problem_response(WorkflowError(FailureCode.ROUTE_NOT_FOUND, detail))


def _bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response(WorkflowError(FailureCode.UNEXPECTED_ERROR, "The request failed unexpectedly."))
