"""Wait at start for the services around us, and say what is missing meanwhile."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import structlog
from celery import Celery

from api_service.db.schema import is_known_revision, require_current_schema
from api_service.db.session import Database
from moonmind.dispatch.broker import errors_of
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_log = structlog.get_logger(__name__)
_LOOK_SECONDS = 1.0
_FIRST_LINE_SECONDS = 4.0
_LONGEST_BETWEEN_LINES = 60.0


@dataclass(frozen=True)
class Missing:
    """What a process waits for, what it was told when it asked, and what an operator can do."""

    what: str
    detail: str
    remedy: str


def wait_for_database(database: Database) -> None:
    """
    Return once the database answers and has the schema of this version.

    There is no limit: what is missing can come at any time, and a restart would find the same.
    Only a schema of a newer version never becomes right; it raises `schema_outdated` at once.
    """
    _wait(lambda: _missing_from(database))


def wait_for_broker(app: Celery) -> None:
    """Return once the broker answers; there is no limit, for the same reason."""
    errors = errors_of(app)

    def look() -> Missing | None:
        connection = app.connection_for_write()
        try:
            connection.connect()
        except errors as error:
            # The address without its password.
            detail = f"{connection.as_uri()} answered: {error}"
            return Missing("broker", detail, "Start the broker, or correct CELERY_BROKER_URL.")
        finally:
            connection.release()
        return None

    _wait(look)


def _missing_from(database: Database) -> Missing | None:
    try:
        require_current_schema(database)
    except WorkflowError as error:
        if error.code is FailureCode.DATABASE_UNAVAILABLE:
            return Missing("database", error.detail, "Start the database, or correct DATABASE_URL.")
        if error.code is FailureCode.SCHEMA_OUTDATED and is_known_revision(error.facts["found"]):
            return Missing("database schema", error.detail, "Run `moonmind db upgrade` against this database.")
        raise
    return None


def _wait(look: Callable[[], Missing | None]) -> None:
    started = time.monotonic()
    next_line, pause = started, _FIRST_LINE_SECONDS
    with _ended_by_signals():
        while (missing := look()) is not None:
            now = time.monotonic()
            if now >= next_line:
                _log.warning(
                    f"waiting for the {missing.what}",
                    detail=missing.detail,
                    remedy=missing.remedy,
                    waited_seconds=round(now - started),
                    limit="none; stop it with Ctrl-C or SIGTERM",
                )
                next_line, pause = now + pause, min(pause * 2, _LONGEST_BETWEEN_LINES)
            time.sleep(_LOOK_SECONDS)
    if next_line > started:
        _log.info("the wait is over", waited_seconds=round(time.monotonic() - started))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """
    Let SIGTERM and SIGINT end the process while it waits.

    The first process of a container has no default handlers: without one of ours it could not
    be stopped before its server installs its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, _end) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    _log.info("stopped while waiting")
    raise SystemExit(0)
