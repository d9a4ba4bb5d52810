"""Make, list and revoke the tokens that operators and scripts use: `moonmind token`."""

import json
from datetime import datetime, timedelta

import click

from api_service.auth.tokens import Role, TokenRead, TokenRepository
from api_service.db.schema import require_current_schema
from api_service.db.session import Database
from moonmind.cli.options import json_option
from moonmind.config.settings import read_settings
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_ROLES = click.Choice([role.value for role in Role])


@click.group()
def token() -> None:
    """Look after the tokens in the database that the settings name; needs no running service."""


@token.command()
@click.argument("name")
@click.option("--role", type=_ROLES, default=Role.OPERATOR.value, show_default=True, help="What it may do.")
@click.option("--days", type=click.IntRange(min=1), help="How long it is valid; else until it is revoked.")
@json_option
def create(name: str, role: str, days: int | None, *, as_json: bool) -> None:
    """Make a token for NAME; its text is shown once."""
    database = _database()
    life = timedelta(days=days) if days else None
    with database.transaction() as session:
        made = TokenRepository(session, database.clock).create(name=name, role=Role(role), life=life)
    if as_json:
        click.echo(json.dumps({"id": made.token_id, "name": name, "role": role, "token": made.text}))
        return
    click.echo(made.text)
    click.echo("This is shown once. To use it: export MOONMIND_TOKEN=… or MOONMIND_TOKEN_FILE=FILE", err=True)


@token.command("list")
@json_option
def list_tokens(*, as_json: bool) -> None:
    """List the tokens, never their secrets."""
    database = _database()
    with database.reading() as session:
        tokens = TokenRepository(session, database.clock).all()
    if as_json:
        click.echo(json.dumps([_document(one) for one in tokens]))
        return
    for one in tokens:
        click.echo(f"{one.token_id}  {one.role:8}  {_state(one):22}  used {_day(one.last_used_at)}  {one.name}")
    click.echo("Next: moonmind token create NAME, or moonmind token revoke ID", err=True)


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
def revoke(token_id: str, *, as_json: bool) -> None:
    """End a token at once, with the browser sessions it opened; safe to repeat."""
    database = _database()
    with database.transaction() as session:
        found = TokenRepository(session, database.clock).revoke(token_id)
    if not found:
        raise WorkflowError(FailureCode.TOKEN_NOT_FOUND, f"There is no token {token_id}.")
    click.echo(json.dumps({"id": token_id, "revoked": True}) if as_json else f"Token {token_id} is revoked.")


def _database() -> Database:
    database = Database(read_settings().effective_database_url)
    require_current_schema(database)
    return database


def _document(one: TokenRead) -> dict[str, str | None]:
    return {
        "id": one.token_id,
        "name": one.name,
        "role": one.role,
        "createdAt": one.created_at.isoformat(),
        "expiresAt": one.expires_at.isoformat() if one.expires_at else None,
        "revokedAt": one.revoked_at.isoformat() if one.revoked_at else None,
        "lastUsedAt": one.last_used_at.isoformat() if one.last_used_at else None,
    }


def _state(one: TokenRead) -> str:
    if one.revoked_at:
        return f"revoked {_day(one.revoked_at)}"
    return f"valid until {_day(one.expires_at)}" if one.expires_at else "valid"


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "never"
