"""Open databases and be the only place that commits."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api_service.db.types import Clock, DatabaseClock
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_SQLITE_BUSY_MILLISECONDS = 15_000
_READING = {"moonmind_reading": True}
# Together with the time for a new connection below five seconds, within which a request is answered.
_ANSWER_MILLISECONDS = 1_000
_CONNECT_ARGUMENTS = {
    "connect_timeout": 3,
    # A network that swallows packets is noticed in the middle of a statement, too.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Database:
    """
    One engine and its transactions; safe to share between threads.

    `transaction()` commits when its block ends and rolls back when it raises. On SQLite it
    takes the write lock at once (BEGIN IMMEDIATE): a deferred transaction that turns from
    reading to writing fails with "database is locked" whatever the busy timeout.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, pool_size: int = 12) -> None:
        self.clock: Clock = clock or DatabaseClock()
        self.engine = _create_engine(url, pool_size=pool_size)
        self._reading_engine = self.engine.execution_options(**_READING)

    @property
    def is_sqlite(self) -> bool:
        """True for the embedded database, which serves one host."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session whose work is committed as one; raises `database_unavailable`."""
        with (
            _unavailable_as_workflow_error(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one state and changes nothing."""
        with (
            _unavailable_as_workflow_error(),
            Session(self._reading_engine, expire_on_commit=False) as session,
        ):
            yield session

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


@contextmanager
def _unavailable_as_workflow_error() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise WorkflowError(FailureCode.DATABASE_UNAVAILABLE, _words(error)) from error
    except InvalidatePoolError as error:
        raise WorkflowError(FailureCode.DATABASE_UNAVAILABLE, f"The pool says: {error}.") from error
    except PoolTimeoutError as error:
        detail = "All connections to the database are in use."
        raise WorkflowError(FailureCode.DATABASE_UNAVAILABLE, detail) from error


def _words(error: DBAPIError) -> str:
    # The driver's first line names the cause; the statement and its values stay out of replies.
    first = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    return f"The database answered: {first}."


def _create_engine(url: str, *, pool_size: int) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, poolclass=NullPool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=4,
        connect_args=_CONNECT_ARGUMENTS,
    )
    event.listen(engine, "checkout", _require_answer)
    return engine


def _require_answer(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    """
    Have the server answer on a pooled connection before it is used; without an answer a new one is made.

    The pool's own check waits for ever on a server, or on a way to it, that is frozen rather than gone.
    """
    raw = connection.pgconn
    answer = select.poll()
    try:
        answer.register(raw.socket, select.POLLIN)
        raw.send_query(b"")
        raw.flush()
        while raw.is_busy():
            if not answer.poll(_ANSWER_MILLISECONDS):
                message = "the database does not answer"
                raise InvalidatePoolError(message)
            raw.consume_input()
        while raw.get_result() is not None:
            pass
    except psycopg.OperationalError as error:
        raise InvalidatePoolError(str(error)) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself; `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    reading = connection.get_execution_options().get("moonmind_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
