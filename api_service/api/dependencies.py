"""Give routes what they may ask for: the service's parts, and who is asking."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Request

from api_service.auth.tokens import Operator, Role, operator_of_session, operator_of_token
from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Forge
from moonmind.workflows import NewRun, Preview
from moonmind.workflows.speckit_celery.storage import FileArtifactStore

SESSION_COOKIE = "moonmind_session"
PUBLIC_PATHS = frozenset({"/health/live", "/health/ready", "/sign-in"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Courier(Protocol):
    """Sends a run's chain once, soon and for a bounded time; what is left is the sweepers' work."""

    def __call__(self, run_id: UUID, /) -> object:
        """Try to send; never raises for a broker that is down."""


@dataclass(frozen=True)
class ApiServices:
    """What the API needs; built once by an entry point."""

    database: Database
    store: FileArtifactStore
    redact: Callable[[bytes], bytes]
    """Takes secrets out of a log that is still being written."""
    forge: Forge
    check_credentials: Callable[[str], None]
    """Checks an agent and the forge before a retry; raises `credentials_invalid`."""
    preview: Callable[[NewRun], Preview]
    """Says what a run would do, and records nothing."""
    courier: Courier
    ready: Callable[[], Mapping[str, str]]
    """Names what is not ready, with words; empty when all is well."""
    public_url: str
    agent: str
    agents: frozenset[str]
    queues: tuple[str, str]
    grace: timedelta
    cursor_key: bytes


def services_of(request: Request) -> ApiServices:
    """Return the services that the entry point gave to the app."""
    services: ApiServices = request.app.state.services
    return services


def authenticate(request: Request) -> None:
    """
    Find out who asks, on every route; only a few exact paths are public.

    A suffix or prefix rule has let whole APIs open elsewhere, so whole paths are compared.
    """
    if request.url.path in PUBLIC_PATHS:
        return
    request.state.operator = _operator(request)


def _operator(request: Request) -> Operator:
    database = services_of(request).database
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        operator = operator_of_token(database, text.strip())
    else:
        operator = _signed_in(request, database)
    if operator is None:
        detail = "The request has no valid bearer token."
        raise WorkflowError(FailureCode.AUTHENTICATION_REQUIRED, detail)
    return operator


def _signed_in(request: Request, database: Database) -> Operator | None:
    cookie = request.cookies.get(SESSION_COOKIE)
    # A browser sends its cookie by itself; changes therefore need a token or the page's own form.
    if not cookie or request.method not in _READING:
        return None
    return operator_of_session(database, cookie)


def require_role(role: Role) -> Callable[[Request], Operator]:
    """Return a dependency that lets only this role and those above it pass."""

    def check(request: Request) -> Operator:
        operator: Operator = request.state.operator
        if not operator.role.includes(role):
            detail = f"The token {operator.name!r} is a {operator.role.value}; this needs {role.value}."
            raise WorkflowError(FailureCode.ROLE_NOT_ALLOWED, detail)
        return operator

    return check


ServicesDep = Annotated[ApiServices, Depends(services_of)]
ViewerDep = Annotated[Operator, Depends(require_role(Role.VIEWER))]
OperatorDep = Annotated[Operator, Depends(require_role(Role.OPERATOR))]
