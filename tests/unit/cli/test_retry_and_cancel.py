"""`moonmind retry` and `moonmind cancel`: what an operator decides about a run."""

import json

import pytest

from moonmind.cli.exits import Exit
from moonmind.testing.api import InMemoryApi
from tests.unit.cli.conftest import Command


class TestRetry:
    def test_a_failed_run_goes_on(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run(status="failed")
        result = moon("retry", str(run["id"]), "--notes", "use the other library")
        assert result.exit_code == 0
        assert json.loads(api.requests[-1].content) == {"mode": "resume_failed_task", "notes": "use the other library"}
        assert result.stdout.splitlines() == [
            f"run {run['id']} is retrying, attempt 2",
            f"next: moonmind watch {str(run['id'])[:13]}",
        ]

    def test_it_may_begin_again(self, moon: Command, api: InMemoryApi) -> None:
        api.add_run(status="cancelled")
        result = moon("retry", "last", "--restart", "--json")
        assert json.loads(api.requests[-1].content) == {"mode": "restart_from_discovery"}
        assert json.loads(result.stdout)["status"] == "retrying"
        assert result.stderr.startswith("next: moonmind watch")

    def test_a_second_retry_is_not_allowed(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run(status="failed")
        moon("retry", "last")
        result = moon("retry", "last")
        assert result.exit_code == Exit.NOT_POSSIBLE
        assert f"next: Look at its state with `moonmind show {run['id']}`." in result.stderr


class TestCancel:
    def test_an_active_run_is_asked_to_stop(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run()
        result = moon("cancel", str(run["id"])[:13], "--reason", "wrong feature")
        assert result.exit_code == 0
        assert json.loads(api.requests[-1].content) == {"reason": "wrong feature"}
        assert result.stdout.splitlines()[0] == (
            f"run {run['id']} is running, cancel asked for at 2026-03-01 12:00:00Z"
        )

    def test_json_is_the_run(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run()
        result = moon("cancel", "last", "--json")
        assert json.loads(result.stdout)["id"] == run["id"]

    @pytest.mark.parametrize("status", ["succeeded", "failed", "no_work"])
    def test_an_ended_run_cannot_be_cancelled(self, moon: Command, api: InMemoryApi, status: str) -> None:
        api.add_run(status=status)
        assert moon("cancel", "last").exit_code == Exit.NOT_POSSIBLE
