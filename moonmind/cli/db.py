"""Bring the database's schema up to date and show where it is: `moonmind db`."""

import json

import click

from api_service.db.schema import current_revision, upgrade_schema, wanted_revision
from api_service.db.session import Database
from moonmind.cli.options import json_option
from moonmind.config.settings import read_settings


@click.group()
def db() -> None:
    """Manage the database's schema."""


@db.command()
@json_option
def upgrade(*, as_json: bool) -> None:
    """Run the migrations that are missing; safe to repeat."""
    database = _database()
    before = current_revision(database)
    revision = upgrade_schema(database)
    if as_json:
        click.echo(json.dumps({"before": before, "revision": revision}))
    elif before == revision:
        click.echo(f"The database is already at {revision}.")
    else:
        click.echo(f"The database is now at {revision} (was {before or 'empty'}).")


@db.command()
@json_option
def current(*, as_json: bool) -> None:
    """Show the revision of the database and the one this version needs."""
    found, wanted = current_revision(_database()), wanted_revision()
    if as_json:
        click.echo(json.dumps({"revision": found, "wanted": wanted}))
        return
    click.echo(f"The database is at {found or 'no revision'}; this version needs {wanted}.")
    if found != wanted:
        click.echo("Next: moonmind db upgrade")


def _database() -> Database:
    settings = read_settings()
    if settings.database_url is None:
        settings.data.mkdir(parents=True, exist_ok=True)
    return Database(settings.effective_database_url)
