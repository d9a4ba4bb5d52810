"""Run API, worker and sweeper in one process: the default that needs only Python, git and a shell."""

import json
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import celery.worker.state
import structlog
import uvicorn
from celery import Celery
from fastapi import FastAPI

from api_service.auth.tokens import Role, TokenRepository, operator_of_token
from api_service.db.schema import upgrade_schema
from api_service.db.session import Database
from api_service.main import create_app, database_missing, make_api_services
from moonmind.config.settings import Settings
from moonmind.dispatch.holders import DataFolderLock
from moonmind.dispatch.private_files import write_private
from moonmind.dispatch.station import build_station
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_log = structlog.get_logger(__name__)
_MEMORY = "memory://"
_SHUTDOWN_SECONDS = 20
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class WorkerThread:
    """A Celery worker with a thread pool, inside this process: `memory://` reaches no other."""

    def __init__(self, app: Celery, *, threads: int) -> None:
        # In a thread that is not the main one, Celery sends the chain's next message through
        # the default app; without this it would look for a broker on localhost.
        app.finalize()
        app.set_default()
        self._worker = app.WorkController(
            pool_cls="threads",
            concurrency=threads,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._worker.start, name="worker", daemon=True)

    @property
    def alive(self) -> bool:
        """True while the worker consumes."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to consume."""
        celery.worker.state.should_stop = None
        self._thread.start()

    def stop(self) -> None:
        """Stop consuming and wait for the stages under way, within bounds."""
        celery.worker.state.should_stop = 0  # type: ignore[assignment]  # the exit code; the stub knows only None
        self._thread.join(_SHUTDOWN_SECONDS)


class EmbeddedService:
    """The whole service over one data folder, which it keeps to itself."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        if not settings.broker_url.get_secret_value().startswith(_MEMORY):
            detail = "CELERY_BROKER_URL: `moonmind up` needs none; with one, use `moonmind api` and `moonmind worker`."
            raise WorkflowError(FailureCode.SETTING_INVALID, detail)
        self._settings = settings
        self._address = _listen_address(settings.public_url)
        self._lock = DataFolderLock(settings.data)
        self._database = Database(settings.effective_database_url)
        upgrade_schema(self._database)
        self.token_file = settings.data / "operator.token"
        _ensure_operator_token(self._database, self.token_file)
        self._station = build_station(settings, self._database, environment=environment)
        self._worker = WorkerThread(self._station.app, threads=settings.worker_threads)

    def run(self) -> None:
        """Serve until a signal asks to stop."""
        host, port = self._address
        config = uvicorn.Config(self._app(), host=host, port=port, log_config=None, access_log=False)
        server = uvicorn.Server(config)
        write_private(self._settings.data / "server.json", json.dumps({"url": f"http://{host}:{port}"}))
        self._station.recover(alone=True)
        self._worker.start()
        self._station.sweeper.start()
        # uvicorn raises the signal that stopped it once more when it is done; by default that would
        # end the process on the spot, before its stages are given back.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                server.run()
        finally:
            self._stop()

    def _stop(self) -> None:
        self._station.services.leases.give_up_all()
        self._worker.stop()
        self._station.close()
        self._lock.release()
        _log.info("stopped")

    def _app(self) -> FastAPI:
        station = self._station
        services = make_api_services(
            self._settings,
            database=self._database,
            store=station.store,
            forge=station.services.forge,
            workspace=station.services.workspace,
            agents=station.services.agents,
            redact=station.redact,
            courier=station.courier,
            ready=self._missing,
        )
        return create_app(services)

    def _missing(self) -> Mapping[str, str]:
        worker = {} if self._worker.alive else {"worker": "The worker thread ended."}
        return {**worker, **database_missing(self._database)}


def _listen_address(public_url: str) -> tuple[str, int]:
    """Return where to listen; only this host may reach a service that one token file protects."""
    parts = urlsplit(public_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if host not in _LOOPBACK:
        detail = (
            f"MOONMIND_PUBLIC_URL: `moonmind up` serves this host alone, so {host!r} must be 127.0.0.1 or localhost."
        )
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)
    return ("127.0.0.1" if host == "localhost" else host), port


def _ensure_operator_token(database: Database, path: Path) -> None:
    """Keep one valid token in the file; a lost or revoked one is replaced."""
    if path.is_file() and operator_of_token(database, path.read_text().strip()) is not None:
        return
    with database.transaction() as session:
        token = TokenRepository(session, database.clock).create(name="embedded operator", role=Role.OPERATOR)
    write_private(path, f"{token.text}\n")
