"""
Start a Celery worker: read settings, wait for the services it needs, register tasks, recover, work.

A worker takes messages from both queues, the one of discover, submit and apply and the one of
publish and finalize, unless `-Q` names others; so a pair of workers, one without the forge's
write token and one without an agent, is started with `-Q` and the name of one queue each. What
such an agent worker cannot do yet is to ask the publisher for its credentials before it submits:
it checks what it can see itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import celery.signals
import celery.worker.state
import structlog
from celery import Celery, bootsteps
from celery.concurrency.thread import TaskPool

from api_service.db.session import Database
from moonmind.config.logging import configure_logging
from moonmind.config.settings import Settings, process_environment, read_settings
from moonmind.dispatch.broker import errors_of
from moonmind.dispatch.station import Station, build_station
from moonmind.dispatch.waiting import wait_for_broker, wait_for_database
from moonmind.dispatch.watchdog import Patience, Signs, Watchdog
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.workflows.speckit_celery import create_celery_app
from moonmind.workflows.speckit_celery.services import Services

_log = structlog.get_logger(__name__)
_SEEN_SECONDS = 10.0
_CELERYS_OWN_NAME = "celery@"


class WorkerLife:
    """
    Ties a station to the life of the one Celery worker of this process.

    The station is built when a worker starts, not with the app: `celery inspect` and its like
    load the same app and need neither database nor broker for that.
    """

    station: Station
    watchdog: Watchdog

    def __init__(
        self,
        app: Celery,
        settings: Settings,
        environment: Mapping[str, str],
        adapt: Callable[[Services], Services],
    ) -> None:
        self._app = app
        self._settings = settings
        self._environment = environment
        self._adapt = adapt
        app.steps["worker"].add(type("MoonMind", (_Step,), {"life": self}))
        celery.signals.setup_logging.connect(_keep_logging, weak=False)
        celery.signals.celeryd_init.connect(self._begin, weak=False)
        celery.signals.worker_shutting_down.connect(self._stop_soon, weak=False)
        celery.signals.worker_shutdown.connect(self._ended, weak=False)
        celery.signals.task_failure.connect(self._task_failed, weak=False)

    @property
    def queues(self) -> Sequence[str]:
        """The queues this worker takes messages from at this moment; remote control may change them."""
        return tuple(self._app.amqp.queues.consume_from)

    def started(self) -> None:
        """Begin to sweep and to watch; called once, before the first message."""
        self.station.sweeper.start()
        self.watchdog.start()
        _log.info("worker_started", queues=self.queues, agents=sorted(self.station.services.agents))

    def stopping(self) -> None:
        """Let the stages at work stop, before the pool waits for their threads."""
        self.station.services.leases.give_up_all()
        self.watchdog.stop_soon()

    def _begin(self, instance: Any, options: Mapping[str, Any], **_signal: object) -> None:
        try:
            self._refuse_unfit(options)
            database = Database(self._settings.effective_database_url)
            wait_for_database(database)
            wait_for_broker(self._app)
            self.station = build_station(
                self._settings, database, environment=self._environment, app=self._app, adapt=self._adapt
            )
        except WorkflowError as error:
            # Celery would log it and start a worker without tasks.
            raise SystemExit(str(error)) from error
        if instance.hostname.startswith(_CELERYS_OWN_NAME):
            # Two workers of one name take each other's remote control; on RabbitMQ the second dies.
            instance.hostname = self.station.services.worker_name
        self.watchdog = Watchdog(
            self.station.services.leases,
            Signs(
                messages_taken=lambda: int(celery.worker.state.all_total_count[0]),
                untaken=lambda: self.station.untaken(self.queues, prefetched=_prefetched()),
                limit=self.station.services.timing.limit,
                give_back=self.station.give_back,
            ),
            Patience(idle=self.station.services.timing.grace, overdue=self.station.services.timing.lease),
        )
        self.station.housekeeping.add(_SEEN_SECONDS, lambda: self.station.seen(self.queues))

    def _refuse_unfit(self, options: Mapping[str, Any]) -> None:
        """Raise `setting_invalid` for a command line with which this worker could not keep its promises."""
        # The command line's option has the first name, a caller's argument the second.
        if (options.get("pool") or options.get("pool_cls")) not in {None, TaskPool, "threads"}:
            detail = "--pool: the stages run in threads, next to a thread that sweeps; leave the option out."
            raise WorkflowError(FailureCode.SETTING_INVALID, detail)
        threads = options.get("concurrency") or self._settings.worker_threads
        if threads <= self._settings.agent_slots:
            detail = (
                f"--concurrency: {threads} threads are too few for {self._settings.agent_slots} agents "
                "(SPEC_WORKFLOW_AGENT_SLOTS): publishing would wait behind them."
            )
            raise WorkflowError(FailureCode.SETTING_INVALID, detail)

    def _stop_soon(self, **_signal: object) -> None:
        self.watchdog.stop_soon()

    def _ended(self, **_signal: object) -> None:
        self.station.close()
        self.watchdog.ended()
        _log.info("worker_stopped")

    def _task_failed(self, exception: BaseException, kwargs: Mapping[str, Any], **_signal: object) -> None:
        # A stage never raises these: they come from sending the next link after it returned.
        if isinstance(exception, errors_of(self._app)) and "run_id" in kwargs:
            self.station.link_lost(UUID(kwargs["run_id"]))


class _Step(bootsteps.StartStopStep):
    """
    Celery's way to be told when the worker starts and stops, whatever makes it stop.

    Its signal about stopping comes for signals of the system only, not for a remote shutdown or
    an error that Celery cannot mend. Steps stop in reverse order, so this one before the pool.
    """

    requires = ("celery.worker.components:Pool",)
    life: WorkerLife

    def start(self, parent: Any) -> None:
        self.life.started()

    def stop(self, parent: Any) -> None:
        self.life.stopping()

    def terminate(self, parent: Any) -> None:
        self.life.stopping()


def create_app(
    environment: Mapping[str, str], *, adapt: Callable[[Services], Services] = lambda services: services
) -> Celery:
    """
    Return the app whose worker runs the stages; raises `setting_invalid`.

    `adapt` may put something between the stages and their collaborators.
    """
    settings = read_settings(environment)
    configure_logging(settings)
    _require_broker(settings)
    app = create_celery_app(broker_url=settings.broker_url.get_secret_value(), queues=settings.queues)
    app.conf.worker_concurrency = settings.worker_threads
    WorkerLife(app, settings, environment, adapt)
    return app


def run_worker(app: Celery, *, queues: Sequence[str] = ()) -> None:
    """Run the app's worker in this process until a signal stops it; no `queues` means all."""
    chosen = [f"--queues={','.join(queues)}"] if queues else []
    app.worker_main(["--quiet", "worker", "--without-mingle", "--without-gossip", *chosen])


def _require_broker(settings: Settings) -> None:
    if settings.broker_url.get_secret_value().startswith("memory://"):
        detail = "CELERY_BROKER_URL: a worker of its own needs a broker; `moonmind up` runs without one."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)


def _keep_logging(**_signal: object) -> None:
    """Keep Celery from setting up logging once more: a receiver of this signal is all it asks for."""


def _prefetched() -> int:
    state = celery.worker.state
    return len(state.reserved_requests) - len(state.active_requests)


@cache
def _app_of_process() -> Celery:
    try:
        return create_app(process_environment())
    except WorkflowError as error:
        raise SystemExit(str(error)) from error


def __getattr__(name: str) -> Celery:
    """Build `app` when `celery -A celery_worker.speckit_worker` asks for it, not when it is imported."""
    if name in {"app", "celery"}:
        return _app_of_process()
    raise AttributeError(name)
