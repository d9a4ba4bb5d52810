"""`moonmind run`: order a phase, look at it before, and follow it to its end."""

import json

import httpx
import pytest

from moonmind.cli.exits import Exit
from moonmind.testing.api import InMemoryApi, Json
from tests.unit.cli.conftest import Clock, Command

_PREVIEW: Json = {
    "status": "work",
    "featureKey": "001-login",
    "phase": {"title": "Phase 3: Log in", "line": 12},
    "tasks": [{"id": "T012", "line": 13, "text": "Add the \x1b[31mform"}, {"id": None, "line": 14, "text": "Test it"}],
    "baseBranch": "main",
    "baseSha": "a" * 40,
    "branchName": "moonmind/001-login/phase-3-log-in",
    "prompt": "\n".join(f"prompt line {number}" for number in range(30)),
    "credentials": [{"subject": "codex_exec", "status": "passed", "message": "logged in"}],
    "pullRequest": None,
    "warnings": ["T013 is written twice"],
    "anythingNewer": {"x": 1},
}


def _sent(api: InMemoryApi) -> Json:
    body = json.loads(api.requests[-1].content)
    assert isinstance(body, dict)
    return body


class TestStarting:
    def test_it_names_the_run_and_how_to_follow_it(self, moon: Command, api: InMemoryApi) -> None:
        result = moon("run", "acme/site")
        (run_id,) = api.runs
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [f"run {run_id} is pending", f"next: moonmind watch {run_id[:13]}"]

    def test_only_what_was_asked_for_is_sent(self, moon: Command, api: InMemoryApi) -> None:
        moon("run", "acme/site")
        assert _sent(api) == {"repository": "acme/site"}

    def test_every_wish_reaches_the_service(self, moon: Command, api: InMemoryApi) -> None:
        moon(
            *("run", "acme/site", "--feature", "002-x", "--phase", "3", "--task", "T001", "--task", "T002"),
            *("--base", "develop", "--agent", "command", "--notes", "carefully"),
        )
        assert _sent(api) == {
            "repository": "acme/site",
            "featureKey": "002-x",
            "selectedPhase": "3",
            "taskIds": ["T001", "T002"],
            "baseBranch": "develop",
            "agent": "command",
            "notes": "carefully",
        }

    def test_json_is_the_run_and_the_hint_goes_elsewhere(self, moon: Command, api: InMemoryApi) -> None:
        result = moon("run", "acme/site", "--json")
        assert json.loads(result.stdout) == next(iter(api.runs.values()))
        assert result.stderr.startswith("next: moonmind watch")

    def test_a_lost_answer_does_not_make_a_second_run(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        clock.happenings += [lambda: None]
        api.lost_answers = 1
        assert moon("run", "acme/site").exit_code == 0
        assert len(api.runs) == 1

    def test_ones_own_key_gives_the_same_run_again(self, moon: Command, api: InMemoryApi) -> None:
        first = moon("run", "acme/site", "--idempotency-key", "nightly-7")
        second = moon("run", "acme/site", "--idempotency-key", "nightly-7")
        assert first.stdout == second.stdout

    def test_an_active_run_of_the_feature_is_named(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run(featureKey=None)
        result = moon("run", "acme/site")
        assert result.exit_code == Exit.NOT_POSSIBLE
        assert f"moonmind watch {run['id']}" in result.stderr

    def test_a_refusal_in_json_tells_scripts_the_code_and_the_run(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run(featureKey=None)
        result = moon("run", "acme/site", "--json")
        error = json.loads(result.stdout)["error"]
        assert (error["code"], error["runId"]) == ("workflow_conflict", run["id"])
        assert result.stderr.startswith("error: ")

    @pytest.mark.parametrize("name", ["site", "acme/", "https://github.com/acme/site", "acme/../etc", "a/b/c"])
    def test_a_name_that_is_no_repository_is_refused_without_asking(
        self, moon: Command, api: InMemoryApi, name: str
    ) -> None:
        result = moon("run", name)
        assert result.exit_code == Exit.USAGE
        assert "OWNER/NAME" in result.stderr
        assert api.requests == []

    def test_the_service_names_the_wrong_field(self, moon: Command, api: InMemoryApi) -> None:
        result = moon("run", ".acme/site")
        assert result.exit_code == Exit.USAGE
        assert "  body.repository: String should match the pattern" in result.stderr.splitlines()


class TestDryRun:
    def test_it_shows_what_would_happen_and_starts_nothing(self, moon: Command, api: InMemoryApi) -> None:
        api.preview = _PREVIEW
        result = moon("run", "acme/site", "--dry-run", "--notes", "it's hard")
        assert result.exit_code == 0
        for words in (
            "Phase 3: Log in",
            r"T012 Add the \x1b[31mform",
            "line 14 Test it",
            "moonmind/001-login/phase-3-log-in",
            "codex_exec passed  logged in",
            "T013 is written twice",
            "prompt line 19",
            "... 10 more lines",
            "Nothing was started.",
        ):
            assert words in result.stdout
        assert "prompt line 20" not in result.stdout
        assert result.stdout.splitlines()[-1] == """next: moonmind run acme/site --notes 'it'"'"'s hard'"""
        assert api.runs == {}

    def test_json_is_the_preview(self, moon: Command, api: InMemoryApi) -> None:
        api.preview = _PREVIEW
        assert json.loads(moon("run", "acme/site", "--dry-run", "--json").stdout) == _PREVIEW

    def test_nothing_to_do_has_its_own_exit_code(self, moon: Command, api: InMemoryApi) -> None:
        api.preview = {"status": "held", "outcome": "held", "message": "Two tasks are held."}
        result = moon("run", "acme/site", "--dry-run")
        assert result.exit_code == Exit.NO_WORK
        assert "Two tasks are held." in result.stdout

    def test_a_phase_in_flight_names_its_pull_request(self, moon: Command, api: InMemoryApi) -> None:
        api.preview = {**_PREVIEW, "pullRequest": {"number": 7, "url": "https://forge.test/7"}}
        result = moon("run", "acme/site", "--dry-run")
        assert result.exit_code == Exit.NO_WORK
        assert "next: merge https://forge.test/7 first" in result.stdout

    def test_bad_credentials_come_before_the_start(self, moon: Command, api: InMemoryApi) -> None:
        bad = {"subject": "github", "status": "failed", "message": "The token is expired.", "remedy": "Renew it."}
        api.preview = {**_PREVIEW, "credentials": [bad]}
        result = moon("run", "acme/site", "--dry-run")
        assert "github failed  The token is expired. Renew it." in result.stdout
        assert "next: mend the credentials of github, then moonmind run acme/site" in result.stdout

    def test_it_does_not_go_with_watching(self, moon: Command) -> None:
        assert moon("run", "acme/site", "--dry-run", "--watch").exit_code == Exit.USAGE

    def test_a_strange_preview_is_shown_as_far_as_it_goes(self, moon: Command, api: InMemoryApi) -> None:
        api.preview = {"status": 7, "phase": [], "tasks": {"a": 1}, "credentials": "no", "prompt": None}
        assert moon("run", "acme/site", "--dry-run").exit_code == Exit.NO_WORK


class TestWatching:
    def test_it_follows_the_run_to_its_end(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        def end() -> None:
            next(iter(api.runs.values())).update(status="no_work", outcome="all_done")

        clock.happenings = [end]
        result = moon("run", "acme/site", "--watch")
        (run_id,) = api.runs
        assert result.exit_code == Exit.NO_WORK
        assert result.stdout.startswith(f"started run {run_id}")
        assert "no_work (all_done)" in result.stdout

    def test_json_is_the_ended_run_alone(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        clock.happenings = [lambda: next(iter(api.runs.values())).update(status="succeeded")]
        result = moon("run", "acme/site", "--watch", "--json")
        assert json.loads(result.stdout)["status"] == "succeeded"
        assert "pending" in result.stderr

    def test_a_service_that_is_not_there_is_exit_three(self, moon: Command, api: InMemoryApi) -> None:
        api.before = [httpx.ConnectError("refused")]
        result = moon("run", "acme/site", "--watch")
        assert result.exit_code == Exit.NOT_POSSIBLE
        assert "moonmind up" in result.stderr
