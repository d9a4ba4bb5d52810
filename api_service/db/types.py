"""Column types that mean the same on SQLite and PostgreSQL, and the database's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    String,
    bindparam,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_TEXT_FORM = "%Y-%m-%d %H:%M:%S.%f"


class UtcDateTime(TypeDecorator[datetime]):
    """
    An aware UTC time, to the millisecond.

    SQLite keeps the text that its own `strftime('%f')` makes, three digits of a second,
    so that comparing texts compares times.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use text on SQLite, which has no time type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(23))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive times: they would be read in the host's zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time without a zone cannot be stored"
            raise ValueError(message)
        utc = value.astimezone(UTC)
        return utc.strftime(_TEXT_FORM)[:-3] if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give aware times back."""
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.strptime(value, _TEXT_FORM).replace(tzinfo=UTC)
        aware: datetime = value.astimezone(UTC)
        return aware


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function that it is
    """The database's time, plus a duration: the only time that decides anything."""

    type = UtcDateTime()
    name = "db_now"
    inherit_cache = True

    def __init__(self, plus: timedelta = timedelta(0)) -> None:
        super().__init__(bindparam(None, plus.total_seconds(), type_=Float()))


@compiles(db_now, "sqlite")
def _db_now_sqlite(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    # Adding a timedelta in Python would need a time of this host; the modifier does not.
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', printf('%+.3f seconds', {seconds}))"


@compiles(db_now, "postgresql")
def _db_now_postgresql(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    # The sub-select is evaluated once; a bare clock_timestamp() is volatile and defeats the index.
    seconds = compiler.process(element.clauses, **kw)
    return f"((SELECT clock_timestamp()) + make_interval(secs => {seconds}))"


class Clock(Protocol):
    """Gives times as SQL, so that they are the database's; tests hand in one they control."""

    def now(self, plus: timedelta = timedelta(0)) -> ColumnElement[datetime]:
        """Return the present plus a duration, as an expression."""


class DatabaseClock:
    """The clock of production: the database's own."""

    def now(self, plus: timedelta = timedelta(0)) -> ColumnElement[datetime]:
        """Return `db_now(plus)`."""
        return db_now(plus)


class ControlledClock:
    """A clock that stands until it is moved, for tests that play hours in a moment."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.at = at

    def now(self, plus: timedelta = timedelta(0)) -> ColumnElement[datetime]:
        """Return the controlled time plus a duration, as a literal."""
        return literal(self.at + plus, UtcDateTime())

    def advance(self, by: timedelta) -> None:
        """Move the clock."""
        self.at += by
