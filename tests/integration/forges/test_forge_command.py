"""`moonmind forge` lets a reviewer look at the local forge's pull requests and decide."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from moonmind.cli.exits import Exit
from moonmind.cli.forge import ForgeSurroundings
from moonmind.cli.main import moonmind
from moonmind.domain.markers import Marker, render_marker
from moonmind.domain.ports import PullRequestDraft
from moonmind.forges.local import LocalForge
from tests.bare_repositories import BareRepo

HEAD = "moonmind/001-habits/phase-1"
BODY = f"Words\x1b[31m of the agent.\n\n{render_marker(Marker('42', 'f', 'p', 'main'))}\n"
Call = Callable[..., Result]


@pytest.fixture
def repository(tmp_path: Path) -> BareRepo:
    made = BareRepo(tmp_path / "forge" / "acme" / "habits.git")
    made.commit("main", {"README.md": "habits\n"})
    made.commit(HEAD, {"a.txt": "a\x1b[2J\n"})
    return made


@pytest.fixture
def forge(tmp_path: Path, repository: BareRepo) -> LocalForge:
    made = LocalForge(tmp_path / "forge", public_url="http://127.0.0.1:5000")
    made.open_pull_request(made.describe("acme/habits"), PullRequestDraft(HEAD, "main", "Phase\x1b 1", BODY))
    return made


@pytest.fixture
def call(forge: LocalForge) -> Call:
    def invoke(*arguments: str) -> Result:
        around = ForgeSurroundings(make_forge=lambda: forge)
        result = CliRunner().invoke(moonmind, ["forge", *arguments], obj=around, prog_name="moonmind")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_the_list_names_each_with_its_state(call: Call) -> None:
    result = call("list", "acme/habits")
    assert result.stdout.startswith("#1    open    Phase\\x1b 1  (moonmind/001-habits/phase-1)\n")
    assert "next: moonmind forge show acme/habits 1" in result.stdout


def test_one_is_shown_with_its_words_and_its_difference_and_without_orders_to_the_terminal(call: Call) -> None:
    result = call("show", "acme/habits", "1")
    assert "Words\\x1b[31m of the agent." in result.stdout
    assert "+a\\x1b[2J" in result.stdout
    assert "http://127.0.0.1:5000/forge/acme/habits/pulls/1" in result.stdout
    assert "moonmind run=" not in result.stdout
    assert "next: moonmind forge merge acme/habits 1" in result.stdout
    assert "\x1b" not in result.stdout


def test_merging_lands_the_work(call: Call, repository: BareRepo) -> None:
    result = call("merge", "acme/habits", "1")
    assert "#1 is merged into main." in result.stdout
    assert repository.show("a.txt") == "a\x1b[2J\n"
    assert "next:" not in call("list", "acme/habits").stdout


def test_closing_changes_no_branch(call: Call, repository: BareRepo) -> None:
    before = repository.tip("main")
    assert "#1 is closed" in call("close", "acme/habits", "1").stdout
    assert repository.tip("main") == before


@pytest.mark.parametrize(
    ("arguments", "members"),
    [
        (["list", "acme/habits"], {"items"}),
        (["show", "acme/habits", "1"], {"number", "state", "title", "body", "headSha", "diff", "url"}),
        (["merge", "acme/habits", "1"], {"number", "state", "headSha"}),
        (["close", "acme/habits", "1"], {"number", "state", "headSha"}),
    ],
)
def test_json_is_one_document(call: Call, arguments: list[str], members: set[str]) -> None:
    result = call(*arguments, "--json")
    assert result.exit_code == Exit.DONE
    assert members <= json.loads(result.stdout).keys()


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["show", "acme/habits", "7"], "pull_request_not_found", Exit.USAGE),
        (["list", "acme/other"], "repository_not_found", Exit.RUN_FAILED),
    ],
)
def test_what_cannot_be_done_says_why(call: Call, arguments: list[str], code: str, exit_code: Exit) -> None:
    result = call(*arguments)
    assert code in result.stderr
    assert "next: " in result.stderr
    assert result.exit_code == exit_code


def test_a_decision_is_made_once(call: Call) -> None:
    call("merge", "acme/habits", "1")
    result = call("close", "acme/habits", "1")
    assert "pull_request_not_open" in result.stderr
    assert result.exit_code == Exit.NOT_POSSIBLE
