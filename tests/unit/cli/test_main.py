"""The command itself: quick to start, clear about verbs, and honest in its exit codes."""

import subprocess
import sys
import time

import click
import httpx
import pytest

from moonmind.cli.exits import Exit, exit_for_error, exit_for_run
from moonmind.cli.refusals import ServerRefusedError
from moonmind.cli.verbs import VERBS
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.testing.api import InMemoryApi
from tests.unit.cli.conftest import Command

_HELP = """
import sys
from moonmind.cli.main import moonmind
moonmind(["--help"], standalone_mode=False)
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def _timed_help() -> tuple[subprocess.CompletedProcess[str], float]:
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _HELP], capture_output=True, text=True, check=True)
    return done, time.monotonic() - begin


class TestHelp:
    def test_it_comes_at_once_and_loads_nothing_heavy(self) -> None:
        # The best of three, since other tests may be using the processors.
        done, seconds = min((_timed_help() for _ in range(3)), key=lambda pair: pair[1])
        assert seconds < 0.5
        heavy = {"httpx", "rich", "pydantic", "celery", "sqlalchemy", "fastapi", "structlog"}
        assert heavy.isdisjoint(done.stderr.split())
        assert "run" in done.stdout

    def test_it_names_every_verb_with_its_summary(self, moon: Command) -> None:
        result = moon("-h", width=200)
        words = " ".join(result.stdout.split())
        assert result.exit_code == 0
        assert [name for name, verb in VERBS.items() if f"{name} {verb.summary}" not in words] == []

    @pytest.mark.parametrize("name", VERBS)
    def test_each_verb_loads_under_its_name_and_explains_itself(self, moon: Command, name: str) -> None:
        command = VERBS[name].load()
        assert isinstance(command, click.Command)
        assert command.name == name
        result = moon(name, "-h")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: moonmind {name}")

    def test_without_a_verb_the_help_is_shown(self, moon: Command) -> None:
        result = moon()
        assert result.exit_code == Exit.USAGE
        assert "Usage: moonmind" in result.output


class TestUnknownVerb:
    def test_the_nearest_is_suggested(self, moon: Command) -> None:
        result = moon("lst")
        assert result.exit_code == Exit.USAGE
        assert "Did you mean 'list'?" in result.stderr


class TestExitCodes:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (FailureCode.REQUEST_INVALID, 2),
            (FailureCode.WORKFLOW_NOT_FOUND, 2),
            (FailureCode.SETTING_INVALID, 2),
            (FailureCode.AUTHENTICATION_REQUIRED, 3),
            (FailureCode.ROLE_NOT_ALLOWED, 3),
            (FailureCode.WORKFLOW_CONFLICT, 3),
            (FailureCode.RETRY_NOT_ALLOWED, 3),
            (FailureCode.SERVER_UNREACHABLE, 3),
            (FailureCode.DATABASE_UNAVAILABLE, 3),
            (FailureCode.UNEXPECTED_ERROR, 3),
            (FailureCode.REPOSITORY_NOT_FOUND, 1),
        ],
    )
    def test_a_failure_says_whether_call_run_or_service_is_at_fault(self, code: FailureCode, expected: int) -> None:
        assert exit_for_error(WorkflowError(code, "detail")) == expected

    @pytest.mark.parametrize(("status", "expected"), [(404, 2), (422, 2), (403, 3), (409, 3), (500, 3)])
    def test_a_code_of_a_newer_service_is_judged_by_its_http_status(self, status: int, expected: int) -> None:
        assert exit_for_error(ServerRefusedError(status, {"code": "quota_spent", "detail": "d"})) == expected

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("succeeded", 0), ("running", 0), ("failed", 1), ("cancelled", 1), ("no_work", 4), ("melted", 1)],
    )
    def test_a_run_says_how_it_ended(self, status: str, expected: int) -> None:
        assert exit_for_run(status) == expected


class TestErrorReport:
    def test_error_and_next_step_go_to_standard_error(self, moon: Command) -> None:
        result = moon("show", "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee")
        assert result.exit_code == Exit.USAGE
        assert result.stdout == ""
        assert result.stderr.splitlines() == [
            "error: There is no run 0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee. [workflow_not_found]",
            "next: List the runs with `moonmind list`.",
        ]

    def test_words_of_the_service_cannot_steer_the_terminal(self, moon: Command, api: InMemoryApi) -> None:
        errors = [{"loc": ["\x1b[2J"], "msg": "\x07"}]
        problem = {"code": "new\x1b[1m", "detail": "no\x1b[31m\nreally", "remedy": "try\x9b5n", "errors": errors}
        api.before = [httpx.Response(422, json=problem)]
        result = moon("list")
        assert result.stderr.splitlines() == [
            r"error: no\x1b[31m",
            r"really [new\x1b[1m]",
            r"  \x1b[2J: \x07",
            r"next: try\x9b5n",
        ]

    def test_a_wrong_token_is_not_allowed(self, moon: Command) -> None:
        result = moon("list", token="mm_wrong")
        assert result.exit_code == Exit.NOT_POSSIBLE
        assert "MOONMIND_TOKEN" in result.stderr

    def test_ctrl_c_ends_without_a_traceback(self, moon: Command, api: InMemoryApi) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        api.answer = interrupted  # type: ignore[method-assign,assignment]
        result = moon("list")
        assert result.exit_code == Exit.INTERRUPTED
        assert "Traceback" not in result.stderr
