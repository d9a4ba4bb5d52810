"""`moonmind logs`: the agent's words, readable, to their end."""

import json

import httpx
import pytest

from moonmind.cli.exits import Exit
from moonmind.cli.log_lines import LineCutter, log_lines
from moonmind.testing.api import InMemoryApi
from tests.unit.cli.conftest import Clock, Command


def _wrapped(event: object) -> str:
    return json.dumps({"at": "2026-03-01T12:00:00Z", "stream": "stdout", "line": json.dumps(event)})


class TestReading:
    def test_it_prints_the_log_and_the_next_step(self, moon: Command, api: InMemoryApi) -> None:
        run_id = str(api.add_run(status="succeeded")["id"])
        api.logs[run_id] = b'{"stream":"stdout","line":"hello"}\n{"stream":"stderr","line":"\\u001b[2Jodd"}\nlast words'
        api.sealed_logs.add(run_id)
        result = moon("logs", run_id)
        assert result.exit_code == 0
        assert result.stdout.splitlines()[:3] == ["hello", r"! \x1b[2Jodd", "last words"]
        assert result.stdout.splitlines()[-1].startswith("next: moonmind run")

    def test_an_active_run_is_read_as_far_as_it_is_without_waiting(
        self, moon: Command, api: InMemoryApi, clock: Clock
    ) -> None:
        run_id = str(api.add_run()["id"])
        api.logs[run_id] = b'{"line":"so far"}\n'
        assert moon("logs", run_id).stdout.splitlines()[0] == "so far"
        assert clock.pauses == []

    def test_without_a_log_it_says_so(self, moon: Command, api: InMemoryApi) -> None:
        run_id = str(api.add_run()["id"])
        result = moon("logs", run_id)
        assert result.exit_code == Exit.USAGE
        assert "no log yet" in result.stderr

    def test_an_empty_log_is_called_empty(self, moon: Command, api: InMemoryApi) -> None:
        run_id = str(api.add_run(status="failed")["id"])
        api.logs[run_id] = b""
        api.sealed_logs.add(run_id)
        assert moon("logs", run_id).stderr == "the log is empty\n"

    def test_json_is_one_document_of_all_lines(self, moon: Command, api: InMemoryApi) -> None:
        run_id = str(api.add_run(status="failed")["id"])
        api.logs[run_id] = b'{"stream":"stdout","line":"a"}\nnot json\n'
        api.sealed_logs.add(run_id)
        document = json.loads(moon("logs", run_id, "--json").stdout)
        assert document == {"runId": run_id, "lines": [{"stream": "stdout", "line": "a"}, {"line": "not json"}]}

    def test_the_stage_is_passed_on(self, moon: Command, api: InMemoryApi) -> None:
        run_id = str(api.add_run()["id"])
        api.logs[run_id] = b""
        moon("logs", run_id, "--stage", "publish")
        assert ("stage", "publish") in [item for request in api.requests for item in request.url.params.multi_items()]


class TestFollowing:
    def test_it_waits_for_the_log_and_reads_it_to_its_end(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        run_id = str(api.add_run()["id"])

        def more(words: bytes) -> None:
            api.logs[run_id] = api.logs.get(run_id, b"") + words

        clock.happenings = [
            lambda: more(b'{"line":"one"}\n{"line":'),
            lambda: more(b'"tw\xc3\xb6"}\n'),
            lambda: api.sealed_logs.add(run_id),
        ]
        result = moon("logs", run_id, "-f")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[:2] == ["one", "twö"]

    def test_it_ends_with_the_run_even_when_the_log_was_never_sealed(
        self, moon: Command, api: InMemoryApi, clock: Clock
    ) -> None:
        run = api.add_run()
        api.logs[str(run["id"])] = b'{"line":"killed in the mid'
        clock.happenings = [lambda: run.update(status="failed")]
        result = moon("logs", "last", "-f")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[0] == '{"line":"killed in the mid'

    def test_a_moment_without_the_service_loses_no_line(self, moon: Command, api: InMemoryApi, clock: Clock) -> None:
        run_id = str(api.add_run()["id"])
        api.logs[run_id] = b'{"line":"one"}\n'

        def goes_away() -> None:
            api.before = [httpx.ConnectError("refused")]
            api.logs[run_id] += b'{"line":"two"}\n'

        clock.happenings = [goes_away, lambda: api.sealed_logs.add(run_id)]
        result = moon("logs", run_id, "-f")
        assert result.stdout.splitlines()[:2] == ["one", "two"]
        assert "still following" in result.stderr


class TestLines:
    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            ("plain \x1b[31mwords", [r"plain \x1b[31mwords"]),
            ("[" * 10_000, ["[" * 10_000]),
            ('{"line":"a\\nb"}', ["a", "b"]),
            ('{"line":"x","stream":"stderr"}', ["! x"]),
            ('{"at":"t","event":"spawned","pid":7}', ['-- spawned {"pid": 7}']),
            ('{"event":{"type":"turn.started"}}', ["-- turn started"]),
            ('{"type":"error","message":"Reconnecting"}', ["! Reconnecting"]),
            (_wrapped({"type": "turn.failed", "error": {"message": "quota"}}), ["! quota"]),
            (
                _wrapped({"type": "turn.completed", "usage": {"input_tokens": 1234, "output_tokens": 5}}),
                ["-- turn completed, tokens: 1,234 in, 5 out"],
            ),
            (
                _wrapped({"type": "item.completed", "item": {"type": "agent_message", "text": "Done\x07.\nAll."}}),
                [r"Done\x07.", "All."],
            ),
            (
                _wrapped({"type": "item.started", "item": {"type": "command_execution", "command": "ls"}}),
                ["$ ls"],
            ),
            (
                _wrapped(
                    {
                        "type": "item.completed",
                        "item": {"type": "command_execution", "aggregated_output": "oh\nno\n", "exit_code": 2},
                    }
                ),
                ["  oh", "  no", "! exit code 2"],
            ),
            (
                _wrapped(
                    {
                        "type": "item.completed",
                        "item": {"type": "file_change", "changes": [{"kind": "add", "path": "a.py"}]},
                    }
                ),
                ["~ add a.py"],
            ),
            (
                _wrapped({"type": "item.completed", "item": {"type": "error", "message": "careful"}}),
                ["! careful"],
            ),
            (_wrapped({"type": "of.a.newer.agent"}), ['{"type": "of.a.newer.agent"}']),
            (_wrapped({"type": "item.started", "item": {"type": "reasoning"}}), []),
        ],
    )
    def test_a_line_is_said_so_that_a_person_can_follow(self, line: str, shown: list[str]) -> None:
        assert log_lines(line) == shown

    def test_parts_are_put_together_wherever_they_were_cut(self) -> None:
        log = "één\ntwee\r\ndrie".encode()
        cutter = LineCutter()
        lines = [line for byte in log for line in cutter.feed(bytes([byte]))]
        assert [*lines, *cutter.finish()] == ["één", "twee", "drie"]

    def test_a_line_without_end_is_cut(self) -> None:
        cutter = LineCutter()
        lines = [line for _ in range(40) for line in cutter.feed(b"x" * 100_000)]
        assert sum(map(len, lines)) + sum(map(len, cutter.finish())) == 4_000_000
        assert len(lines) == 3
