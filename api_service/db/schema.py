"""Bring a database's schema to this version, and refuse one that is not."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from api_service.db.models import Base
from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_MIGRATIONS = Path(__file__).parent.parent / "migrations"


def upgrade_schema(database: Database) -> str:
    """
    Run the migrations that are missing and return the revision.

    Repeating is safe: one transaction, and nothing happens when all have run. On SQLite the
    write lock and on PostgreSQL an advisory lock keep two processes from running them at once.
    """
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5001997)")
        command.upgrade(_config(connection), "head")
        return _current(connection) or ""


def current_revision(database: Database) -> str | None:
    """Return the revision the database is at; None when it is empty."""
    with database.reading() as session:
        return _current(session.connection())


def wanted_revision() -> str:
    """Return the revision that this version of the code needs."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head() or ""


def require_current_schema(database: Database) -> None:
    """Raise `schema_outdated`, with the revision `found`, unless the schema is the one of this version."""
    found, wanted = current_revision(database), wanted_revision()
    if found != wanted:
        raise WorkflowError(
            FailureCode.SCHEMA_OUTDATED,
            f"The database is at revision {found or 'none'}, this version needs {wanted}.",
            found=found,
        )


def is_known_revision(revision: object) -> bool:
    """Say whether this version can upgrade from a revision; an empty database has None."""
    script = ScriptDirectory(str(_MIGRATIONS))
    return revision is None or any(known.revision == revision for known in script.walk_revisions())


def schema_differences(database: Database) -> list[object]:
    """List where the tables differ from the models; empty when the migrations are complete."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
