"""Assemble the HTTP application: for `uvicorn api_service.main:app`, and for the embedded service."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from uuid import uuid4

import structlog
from fastapi import Depends, FastAPI

from api_service.api.dependencies import ApiServices, Courier, authenticate
from api_service.api.errors import install_error_handlers
from api_service.api.limits import BodyLimit
from api_service.api.routers import artifacts, documents, health, workflows
from api_service.db.schema import require_current_schema
from api_service.db.session import Database
from api_service.web import pulls, runs, sign_in
from api_service.web.static_files import mount_static_files
from moonmind.config.logging import configure_logging
from moonmind.config.settings import Settings, process_environment, read_settings
from moonmind.dispatch.outbox import Courier as ThreadedCourier
from moonmind.dispatch.outbox import Relay
from moonmind.dispatch.private_files import private_key
from moonmind.dispatch.waiting import wait_for_database
from moonmind.domain import VERSION
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Agent, Forge, Workspace
from moonmind.telemetry.redaction import Redactor
from moonmind.workflows import preview_spec_workflow_run
from moonmind.workflows.speckit_celery import create_celery_app
from moonmind.workflows.speckit_celery.services import make_agents, make_forge, require_credentials
from moonmind.workflows.speckit_celery.storage import FileArtifactStore
from moonmind.workspace.checkout import GitWorkspace

_log = structlog.get_logger(__name__)
# Here git serves previews alone: a person waits for the answer, and the thread for the next request.
_PREVIEW_LIMIT = timedelta(seconds=20)


def create_app(services: ApiServices) -> FastAPI:
    """
    Return the application over its services.

    Every route asks who is there; the few public ones are named in `PUBLIC_PATHS`.
    """
    app = FastAPI(
        title="MoonMind Spec Workflows",
        version=VERSION,
        summary="Ask for the next Spec Kit phase; get one branch and one pull request.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A path with a slash too many is another path; it is not found rather than led on.
        redirect_slashes=False,
        dependencies=[Depends(authenticate)],
    )
    app.state.services = services
    install_error_handlers(app)
    app.add_middleware(BodyLimit)
    for module in (health, workflows, artifacts, documents, sign_in, pulls, runs):
        app.include_router(module.router)
    mount_static_files(app)
    return app


def make_api_services(
    settings: Settings,
    *,
    database: Database,
    store: FileArtifactStore,
    forge: Forge,
    workspace: Workspace,
    agents: Mapping[str, Agent],
    redact: Callable[[bytes], bytes],
    courier: Courier,
    ready: Callable[[], Mapping[str, str]],
) -> ApiServices:
    """Return what the routes need, with the settings' values filled in."""
    return ApiServices(
        database=database,
        store=store,
        redact=redact,
        forge=forge,
        check_credentials=partial(require_credentials, forge, agents),
        preview=partial(
            preview_spec_workflow_run,
            forge=forge,
            workspace=workspace,
            agents=agents,
            max_tasks=settings.max_tasks_per_run,
        ),
        courier=courier,
        ready=ready,
        public_url=settings.public_url,
        agent=settings.agent,
        agents=frozenset(agents),
        queues=settings.queues,
        grace=timedelta(seconds=settings.pending_grace_seconds),
        cursor_key=private_key(settings.data / "cursor.key"),
    )


def database_missing(database: Database) -> Mapping[str, str]:
    """Say what is wrong with the database; empty when it answers."""
    try:
        require_current_schema(database)
    except WorkflowError as error:
        # Anybody may ask, so the driver's own words, with host and user, go to the log alone.
        _log.warning("not_ready", detail=error.detail)
        return {"database": error.failure.title}
    return {}


def create_app_from_environment() -> FastAPI:
    """
    Return the application of a process that serves the API alone.

    It sends messages but runs no stage. It waits for the database, not for the broker: without
    one it takes orders, and they start when the broker is back. Raises `setting_invalid`, or
    `schema_outdated` for the schema of a newer version.
    """
    settings = read_settings()
    configure_logging(settings)
    broker_url = settings.broker_url.get_secret_value()
    if broker_url.startswith("memory://"):
        detail = "CELERY_BROKER_URL: the API alone needs a broker that workers reach; `moonmind up` runs both."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)
    database = Database(settings.effective_database_url)
    wait_for_database(database)
    app = create_celery_app(broker_url=broker_url, queues=settings.queues)
    grace = timedelta(seconds=settings.pending_grace_seconds)
    relay = Relay(database, app, sender=f"api-{uuid4().hex[:8]}", grace=grace)
    services = make_api_services(
        settings,
        database=database,
        store=FileArtifactStore(settings.effective_artifact_root, scrub=Redactor(settings.secret_values)),
        forge=make_forge(settings),
        workspace=GitWorkspace(
            settings.data / "workspaces", timeout=_PREVIEW_LIMIT, surroundings=process_environment()
        ),
        agents=make_agents(settings, process_environment()),
        redact=Redactor(settings.secret_values).data,
        courier=ThreadedCourier(relay),
        ready=lambda: database_missing(database),
    )
    return create_app(services)


def __getattr__(name: str) -> FastAPI:
    """Build `app` when a server asks for it, so that importing this module reads no environment."""
    if name == "app":
        return create_app_from_environment()
    raise AttributeError(name)
