"""Start a Celery worker on the codex queue: read settings, build services, register tasks."""

from collections.abc import Mapping

import celery.signals
import structlog
from celery import Celery

from api_service.db.schema import require_current_schema
from api_service.db.session import Database
from moonmind.config.logging import configure_logging
from moonmind.config.settings import Settings, process_environment, read_settings
from moonmind.dispatch.station import Station, build_station
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_log = structlog.get_logger(__name__)


def create_station(environment: Mapping[str, str]) -> Station:
    """
    Build the worker's station from the environment.

    Raises `setting_invalid` or `schema_outdated`; a worker that cannot work does not start.
    """
    settings = read_settings(environment)
    configure_logging(form=settings.log_format, level=settings.log_level)
    _require_broker(settings)
    database = Database(settings.effective_database_url)
    require_current_schema(database)
    return build_station(settings, database, environment=environment)


def attach(station: Station) -> Celery:
    """Tie the sweeper and the recovery of dead neighbours to the worker's life, and return its app."""
    app = station.app

    @celery.signals.worker_ready.connect(weak=False)
    def _ready(**_signal: object) -> None:
        station.recover(alone=False)
        station.sweeper.start()
        _log.info("worker_ready", queues=station.settings.queues, agents=sorted(station.services.agents))

    @celery.signals.worker_shutting_down.connect(weak=False)
    def _stopping(**_signal: object) -> None:
        station.services.leases.give_up_all()

    @celery.signals.worker_shutdown.connect(weak=False)
    def _stopped(**_signal: object) -> None:
        station.close()

    return app


def run_worker() -> None:
    """Run the worker in this process until a signal stops it."""
    station = create_station(process_environment())
    app = attach(station)
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={station.settings.worker_threads}",
            f"--hostname={station.services.worker_name}@%h",
            f"--queues={','.join(dict.fromkeys(station.settings.queues))}",
            "--without-mingle",
            "--without-gossip",
        ]
    )


def _require_broker(settings: Settings) -> None:
    if settings.broker_url.get_secret_value().startswith("memory://"):
        detail = "CELERY_BROKER_URL: a worker of its own needs a broker; `moonmind up` runs without one."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)


def __getattr__(name: str) -> Celery:
    """Build `app` when `celery -A celery_worker.speckit_worker` asks for it, not when it is imported."""
    if name in {"app", "celery"}:
        return attach(create_station(process_environment()))
    raise AttributeError(name)
