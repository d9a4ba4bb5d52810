"""An administrator makes, lists and revokes tokens on the command line, without a running service."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api_service.auth.tokens import operator_of_token
from api_service.db.session import Database
from moonmind.cli.main import moonmind


@pytest.fixture
def url(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    return sqlite_url


def call(*argv: str) -> Result:
    return CliRunner().invoke(moonmind, ["token", *argv])


def test_a_new_token_works_until_it_is_revoked(url: str) -> None:
    made = json.loads(call("create", "deploy bot", "--role", "viewer", "--json").stdout)
    database = Database(url)
    operator = operator_of_token(database, made["token"])
    assert operator is not None
    assert (operator.name, operator.role.value) == ("deploy bot", "viewer")

    assert call("revoke", made["id"]).exit_code == 0
    assert call("revoke", made["id"]).exit_code == 0

    assert operator_of_token(database, made["token"]) is None


def test_the_list_shows_no_secret(url: str) -> None:
    text = call("create", "me", "--days", "3").stdout.strip()
    listed = call("list")
    assert "valid until" in listed.stdout
    assert text.rpartition("_")[2] not in listed.output
    (one,) = json.loads(call("list", "--json").stdout)
    assert (one["name"], one["role"]) == ("me", "operator")


def test_an_unknown_id_is_refused_with_the_next_step(url: str) -> None:
    refused = call("revoke", "abc")
    assert refused.exit_code == 2
    assert "moonmind token list" in refused.output
