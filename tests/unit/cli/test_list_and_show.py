"""`moonmind list` and `moonmind show`: what runs there are, and all about one."""

import json

import httpx
import pytest

from moonmind.cli.exits import Exit
from moonmind.testing.api import InMemoryApi, Json
from tests.unit.cli.conftest import Command

_FAILED: Json = {
    "status": "failed",
    "selectedPhase": {"title": "Phase 3: Log in", "line": 12, "taskIds": ["T012", "T013"]},
    "baseBranch": "main",
    "baseSha": "a" * 40,
    "usage": {"inputTokens": 12345, "outputTokens": 67},
    "startedAt": "2026-03-01T12:00:00Z",
    "finishedAt": "2026-03-01T12:03:07Z",
    "failure": {
        "code": "agent_no_change",
        "message": "The agent \x1b[31mchanged nothing.",
        "remedy": "Read its words with `moonmind logs RUN`.",
        "stage": "submit",
        "runbookUrl": "http://service.test/docs/runbook#agent_no_change",
    },
    "tasks": [
        {
            "taskName": "discover",
            "status": "succeeded",
            "attempt": 1,
            "startedAt": "2026-03-01T12:00:00Z",
            "finishedAt": "2026-03-01T12:00:02Z",
            "message": "3 open tasks",
        },
        {"taskName": "submit", "status": "failed", "attempt": 1, "message": "old words"},
        {"taskName": "submit", "status": "failed", "attempt": 2, "message": "no change"},
    ],
}


class TestList:
    def test_the_newest_comes_first_with_what_tells_runs_apart(self, moon: Command, api: InMemoryApi) -> None:
        older = api.add_run(status="succeeded", prNumber=12, prUrl="https://forge.test/12")
        newer = api.add_run(status="failed", selectedPhase={"title": "Phase 3: Log in", "line": 1, "taskIds": []})
        lines = moon("list", width=160).stdout.splitlines()
        assert lines[0].split() == ["RUN", "STATUS", "AGE", "REPOSITORY", "FEATURE", "PHASE", "PR"]
        assert [line.split()[0] for line in lines[1:3]] == [str(newer["id"])[:13], str(older["id"])[:13]]
        assert "Phase 3: Log in" in lines[1]
        assert "https://forge.test/12" in lines[2]
        assert lines[-1] == f"next: moonmind show {str(newer['id'])[:13]}"

    def test_an_active_run_is_offered_for_watching(self, moon: Command, api: InMemoryApi) -> None:
        active = api.add_run()
        api.add_run(status="failed")
        assert moon("list").stdout.splitlines()[-1] == f"next: moonmind watch {str(active['id'])[:13]}"

    def test_without_runs_the_first_command_is_named(self, moon: Command) -> None:
        result = moon("list")
        assert result.exit_code == 0
        assert result.stdout.splitlines() == ["no runs", "next: moonmind run OWNER/NAME"]

    def test_filters_reach_the_service(self, moon: Command, api: InMemoryApi) -> None:
        wanted = api.add_run(status="failed", repository="acme/app", featureKey="002-x")
        api.add_run(status="succeeded", repository="acme/app", featureKey="002-x")
        api.add_run(status="failed")
        filters = ("--status", "failed", "--status", "cancelled", "--repository", "acme/app", "--feature", "002-x")
        page = json.loads(moon("list", *filters, "--json").stdout)
        assert [run["id"] for run in page["items"]] == [wanted["id"]]

    def test_the_next_page_is_one_paste_away(self, moon: Command, api: InMemoryApi) -> None:
        for _ in range(3):
            api.add_run(status="failed")
        first = moon("list", "--limit", "2", "--status", "failed")
        hint = first.stdout.splitlines()[-1].removeprefix("next: moonmind ")
        second = moon(*hint.split(), "--json")
        assert [run["id"] for run in json.loads(second.stdout)["items"]] == [next(iter(api.runs))]
        assert second.stderr.startswith("next: moonmind show")

    @pytest.mark.parametrize("limit", ["0", "101", "many"])
    def test_an_impossible_limit_is_wrong_usage(self, moon: Command, limit: str) -> None:
        assert moon("list", "--limit", limit).exit_code == Exit.USAGE

    @pytest.mark.parametrize("width", [20, 40, 60])
    def test_a_narrow_terminal_gets_lines_that_fit(self, moon: Command, api: InMemoryApi, width: int) -> None:
        run = api.add_run(status="failed", selectedPhase={"title": "A phase with a long title " * 3})
        lines = moon("list", width=width).stdout.splitlines()
        assert str(run["id"])[:13] in lines[0]
        assert max(len(line.rstrip()) for line in lines[:-1]) <= width

    def test_a_table_is_cut_and_ids_never_are(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run(status="succeeded", selectedPhase={"title": "long " * 50}, featureKey="feature " * 20)
        lines = moon("list", width=80).stdout.splitlines()
        assert lines[1].startswith(f"{str(run['id'])[:13]}  succeeded ")
        assert len(lines[1].rstrip()) <= 80

    def test_strange_runs_are_shown_as_far_as_they_go(self, moon: Command, api: InMemoryApi) -> None:
        items = [{"id": 7, "status": None, "createdAt": "soon", "tasks": "none"}, "no run", {"id": "x", "new": {}}]
        api.before = [httpx.Response(200, json={"items": items, "nextCursor": 5, "newer": True})]
        assert moon("list").exit_code == 0


class TestShow:
    def test_a_failed_run_says_why_and_what_to_do(self, moon: Command, api: InMemoryApi) -> None:
        run = api.add_run(**_FAILED)
        result = moon("show", str(run["id"]))
        shown = " ".join(result.stdout.split())
        assert result.exit_code == 0
        for words in (
            f"run {run['id']}",
            "repository acme/site",
            "phase Phase 3: Log in",
            "tasks T012, T013",
            "base main at aaaaaaaaaaaa",
            "tokens 12,345 in, 67 out",
            "status failed in 3m 07s",
            "discover succeeded 2s 3 open tasks",
            "submit failed (attempt 2) no change",
            r"failure The agent \x1b[31mchanged nothing. [agent_no_change]",
            "in stage submit",
            "runbook http://service.test/docs/runbook#agent_no_change",
        ):
            assert words in shown
        assert "old words" not in shown
        assert result.stdout.splitlines()[-1] == "next: Read its words with `moonmind logs RUN`."

    def test_json_is_what_the_service_sent_without_bytes_a_terminal_obeys(
        self, moon: Command, api: InMemoryApi
    ) -> None:
        run = api.add_run(**_FAILED, newerField={"kept": ["\x9b31m\x7f"]})
        result = moon("show", "last", "--json")
        assert json.loads(result.stdout) == run
        assert result.stdout.replace("\n", "").isprintable()

    def test_a_success_names_the_pull_request_and_the_next_phase(self, moon: Command, api: InMemoryApi) -> None:
        api.add_run(status="succeeded", prUrl="https://forge.test/12", prNumber=12, featureKey="x; rm -rf ~")
        last = moon("show", "last").stdout.splitlines()[-1]
        assert last == "next: merge https://forge.test/12, then moonmind run acme/site --feature 'x; rm -rf ~'"

    def test_a_pull_request_of_the_local_forge_is_merged_by_its_own_command(
        self, moon: Command, api: InMemoryApi
    ) -> None:
        api.add_run(status="succeeded", prUrl="http://127.0.0.1:5000/forge/acme/site/pulls/3", prNumber=3)
        last = moon("show", "last").stdout.splitlines()[-1]
        assert last.startswith("next: moonmind forge merge acme/site 3, then moonmind run acme/site")

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"status": "running"}, "moonmind watch"),
            ({"status": "cancelled"}, "moonmind retry"),
            ({"status": "no_work", "outcome": "all_done"}, "moonmind list"),
            ({"status": "no_work", "outcome": "phase_in_flight", "prUrl": "https://forge.test/3"}, "merge https://"),
            ({"status": "no_work", "outcome": "held"}, "open or finish the held tasks"),
            ({"status": "failed", "failure": None}, "moonmind logs"),
            ({"status": "of a newer service"}, "moonmind show"),
        ],
    )
    def test_every_state_has_a_next_step(
        self, moon: Command, api: InMemoryApi, fields: dict[str, str | None], expected: str
    ) -> None:
        api.add_run(**fields)
        assert moon("show", "last").stdout.splitlines()[-1].startswith(f"next: {expected}")

    @pytest.mark.parametrize("width", [24, 50])
    def test_a_narrow_terminal_gets_the_messages_below_the_stages(
        self, moon: Command, api: InMemoryApi, width: int
    ) -> None:
        api.add_run(**_FAILED)
        result = moon("show", "last", width=width)
        assert "submit: no change" in result.stdout

    def test_a_pipe_gets_no_filling_spaces(self, moon: Command, api: InMemoryApi) -> None:
        api.add_run(**_FAILED)
        lines = moon("show", "last").stdout.splitlines() + moon("list").stdout.splitlines()
        assert [line for line in lines if line != line.rstrip()] == []

    def test_strange_values_are_left_out(self, moon: Command, api: InMemoryApi) -> None:
        strange = {"usage": "much", "failure": [1], "selectedPhase": 3, "tasks": [None, 4, {"taskName": {}}]}
        api.add_run(**strange, prNumber="12", startedAt=5, attempt=True, branchName=["x"])
        assert moon("show", "last").exit_code == 0
