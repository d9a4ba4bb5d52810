"""`moonmind watch`: follow a run to its end, through outages, on a terminal and elsewhere."""

import io
import json
import re
from datetime import timedelta
from typing import cast

import httpx
import pytest
from rich.console import Console

from moonmind.cli.client import ServiceClient
from moonmind.cli.exits import Exit
from moonmind.cli.following import LogTail, follow_run
from moonmind.cli.live_view import LiveView
from moonmind.cli.surroundings import Surroundings
from moonmind.cli.views import run_view
from moonmind.domain.errors import WorkflowError
from moonmind.testing.api import NOW, InMemoryApi, Json
from tests.unit.cli.conftest import Clock, Command

_START = "2026-03-01T12:00:00Z"


def _stage(name: str, status: str, **fields: object) -> Json:
    return {"taskName": name, "status": status, "attempt": 1, "startedAt": _START, **fields}


def _tasks(run: Json) -> list[Json]:
    return cast("list[Json]", run["tasks"])


class TestPlainLines:
    def test_each_change_is_one_line(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        run = api.add_run()
        clock.happenings = [
            lambda: _tasks(run).append(_stage("discover", "running")),
            lambda: None,
            lambda: _tasks(run)[0].update(status="succeeded", finishedAt="2026-03-01T12:00:02Z", message="3 open"),
            lambda: _tasks(run).append(_stage("submit", "failed", attempt=2, message="\x1b[31mno")),
            lambda: run.update(status="failed", failure={"code": "agent_failed", "message": "It broke."}),
        ]
        result = moon("watch", "last")
        short = str(run["id"])[:13]
        assert result.exit_code == Exit.RUN_FAILED
        assert [line[11:] for line in result.stdout.splitlines()[:5]] == [
            f"run {short} acme/site running",
            "discover running",
            "discover succeeded in 2s - 3 open",
            r"submit failed (attempt 2) - \x1b[31mno",
            f"run {short} acme/site failed",
        ]
        assert "It broke. [agent_failed]" in result.stdout

    def test_a_cancel_is_told(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        run = api.add_run(cancelRequestedAt=_START)
        clock.happenings = [lambda: run.update(status="cancelled")]
        result = moon("watch", "last")
        assert result.exit_code == Exit.RUN_FAILED
        assert "cancel requested" in result.stdout

    def test_a_run_that_has_ended_is_told_at_once(self, moon: Command, api: InMemoryApi) -> None:
        api.add_run(status="succeeded", prUrl="https://forge.test/1", branchName="moonmind/x", commitSha="c" * 40)
        result = moon("watch", "last")
        assert result.exit_code == 0
        assert ["branch", "moonmind/x"] in [line.split() for line in result.stdout.splitlines()]
        assert result.stdout.splitlines()[-1].startswith("next: merge https://forge.test/1")

    def test_json_keeps_the_progress_off_standard_output(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        run = api.add_run()
        clock.happenings = [lambda: run.update(status="no_work")]
        result = moon("watch", "last", "--json")
        assert result.exit_code == Exit.NO_WORK
        assert json.loads(result.stdout) == run
        assert "acme/site running" in result.stderr


class TestOutage:
    def test_a_moment_without_the_service_is_said_once_and_survived(
        self, moon: Command, api: InMemoryApi, clock: Clock
    ) -> None:
        run = api.add_run()

        def goes_away() -> None:
            api.before = [httpx.ConnectError("refused \x07")] * 3

        clock.happenings = [goes_away, lambda: None, lambda: None, lambda: run.update(status="succeeded")]
        result = moon("watch", "last")
        assert result.exit_code == 0
        assert result.stdout.count("still watching") == 1
        assert result.stdout.count("answers again") == 1
        assert "\x07" not in result.stdout
        assert clock.pauses == [0.5, 1.0, 2.0, 4.0]

    def test_an_outage_without_end_is_given_up(self, client: ServiceClient, api: InMemoryApi, clock: Clock) -> None:
        run_id = str(api.add_run()["id"])
        clock.happenings = [lambda: api.before.extend([httpx.ConnectError("refused")] * 200), *[lambda: None] * 200]
        around = Surroundings(pause=clock.pause, now=clock.now)
        view = _Remembering()
        with pytest.raises(WorkflowError, match="cannot be reached"):
            follow_run(client, run_id, view=view, around=around, with_log=False)
        assert timedelta(minutes=10) < clock.now() - NOW < timedelta(minutes=11)
        assert max(clock.pauses) == 10

    def test_a_revoked_token_is_no_outage(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        api.add_run()
        denied = httpx.Response(401, json={"code": "authentication_required", "detail": "Revoked."})
        clock.happenings = [lambda: api.before.append(denied)]
        assert moon("watch", "last").exit_code == Exit.NOT_POSSIBLE

    def test_ctrl_c_leaves_the_run_alone(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        run = api.add_run()
        clock.happenings = [interrupt]
        result = moon("watch", "last")
        assert result.exit_code == Exit.INTERRUPTED
        assert "the run goes on" in result.stderr
        assert f"next: moonmind watch {run['id']}" in result.stderr
        assert "cancelRequestedAt" not in run


class TestPace:
    def test_a_run_that_does_not_move_is_asked_about_less_often(
        self, moon: Command, api: InMemoryApi, clock: Clock
    ) -> None:
        run = api.add_run()
        clock.happenings = [*[lambda: None] * 130, lambda: run.update(status="succeeded")]
        moon("watch", "last")
        assert clock.pauses[:100] == [0.5] * 100
        assert clock.pauses[-1] == 2


class _Remembering:
    def __init__(self) -> None:
        self.tails: list[tuple[str, ...]] = []

    def show(self, run: object, tail: tuple[str, ...]) -> None:
        self.tails.append(tail)

    def away(self, reason: str) -> None:
        pass

    def back(self) -> None:
        pass


class TestLogTail:
    def test_it_grows_while_the_agent_works(self, client: ServiceClient, api: InMemoryApi, clock: Clock) -> None:
        run = api.add_run(tasks=[_stage("submit", "running")])
        run_id = str(run["id"])

        def speak(words: bytes) -> None:
            api.logs[run_id] = api.logs.get(run_id, b"") + words

        clock.happenings = [
            lambda: speak(b'{"stream":"stdout","line":"half a '),
            lambda: speak(b'line"}\n'),
            lambda: run.update(status="succeeded"),
        ]
        view = _Remembering()
        around = Surroundings(pause=clock.pause, now=clock.now)
        follow_run(client, run_id, view=view, around=around, with_log=True)
        assert view.tails == [(), (), ("half a line",), ("half a line",)]

    def test_only_its_end_is_kept(self, client: ServiceClient, api: InMemoryApi) -> None:
        run_id = str(api.add_run()["id"])
        api.logs[run_id] = b"".join(b"line %d\n" % number for number in range(5000))
        tail = LogTail(client, run_id)
        tail.read_on()
        assert len(tail.lines) == 20
        assert tail.lines[-1] == "line 4999"


class TestLiveView:
    def _screen(self, run: Json, *, width: int, height: int = 40, tail: tuple[str, ...] = (), away: str = "") -> str:
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, width=width, height=height, color_system=None)
        with LiveView(console, lambda: NOW + timedelta(minutes=2, seconds=5)) as view:
            view.show(run_view(run), tail)
            if away:
                view.away(away)
        return file.getvalue()

    @pytest.fixture
    def working(self, api: InMemoryApi) -> Json:
        return api.add_run(
            startedAt=_START,
            selectedPhase={"title": "Phase 3: \x1b]0;x\x07 login", "line": 1, "taskIds": []},
            usage={"inputTokens": 1000, "outputTokens": 20},
            tasks=[
                _stage("discover", "succeeded", finishedAt="2026-03-01T12:00:02Z"),
                _stage("submit", "running", message="at work", attempt=2),
            ],
        )

    def test_it_shows_stages_log_tokens_and_time(self, working: Json) -> None:
        screen = self._screen(working, width=100, tail=("$ pytest", "all good"))
        for words in ("Phase 3:", "submit", "running (attempt 2)", "2m 05s", "at work", "$ pytest", "1,000 in, 20 out"):
            assert words in screen
        assert "\x07" not in screen

    @pytest.mark.parametrize("width", [20, 45, 69, 200])
    def test_no_line_is_wider_than_the_terminal(self, working: Json, width: int) -> None:
        screen = self._screen(working, width=width, tail=("a long line of the agent " * 20,))
        assert max(len(line) for line in _visible(screen)) <= width

    def test_a_low_terminal_leaves_out_the_log_first(self, working: Json) -> None:
        screen = self._screen(working, width=80, height=14, tail=("unseen",))
        assert "unseen" not in screen
        assert "finalize" in screen

    def test_an_outage_is_said_in_the_foot(self, working: Json) -> None:
        screen = self._screen(working, width=100, away="http://service.test \x1b[31mcannot be reached")
        assert r"still watching: http://service.test \x1b[31mcannot" in screen

    def test_a_parked_stage_says_when_it_asks_again(self, api: InMemoryApi) -> None:
        parked = _stage("apply", "waiting", nextPollAt="2026-03-01T12:02:20Z")
        assert "waiting, asks again in 15s" in self._screen(api.add_run(tasks=[parked]), width=100)


def _visible(screen: str) -> list[str]:
    """Return the lines without the movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", screen).splitlines()
