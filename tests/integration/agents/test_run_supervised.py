"""An agent under the launcher sees what it should see and nothing else, and all it says is kept."""

import ctypes
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from moonmind.agents.supervised import SupervisedOrder, run_supervised
from moonmind.agents.supervision import EndReason
from moonmind.domain.errors import StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.testing.agents import FakeLease

MakeOrder = Callable[..., SupervisedOrder]


def run(order: SupervisedOrder) -> tuple[EndReason, int | None]:
    end = run_supervised(order, lease=FakeLease(), started=lambda _pid: None)
    return end.reason, end.exit_code


def log_of(order: SupervisedOrder) -> Sequence[Mapping[str, object]]:
    return [json.loads(line) for line in order.log_path.read_bytes().splitlines()]


class TestEnd:
    @pytest.mark.parametrize(
        ("command", "exit_code"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", -11)], ids=["well", "ill", "killed"]
    )
    def test_by_itself(self, run_of: MakeOrder, command: str, exit_code: int) -> None:
        assert run(run_of("sh", "-c", command)) == (EndReason.EXITED, exit_code)

    def test_at_the_limit_of_time_though_it_talks(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "while :; do echo busy; sleep 0.05; done", wall=0.5)
        assert run(order) == (EndReason.WALL, None)

    def test_at_the_limit_of_silence(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "echo last words; exec sleep 60", idle=0.4)
        assert run(order) == (EndReason.IDLE, None)
        assert log_of(order)[0]["line"] == "last words"

    def test_does_not_come_to_one_that_talks_now_and_then(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "for n in 1 2 3 4 5 6; do sleep 0.3; echo $n; done", idle=1.2)
        assert run(order) == (EndReason.EXITED, 0)

    def test_of_a_program_that_is_not_there(self, run_of: MakeOrder) -> None:
        with pytest.raises(WorkflowError, match="no-such-program") as failure:
            run(run_of("no-such-program"))
        assert failure.value.code is FailureCode.AGENT_UNAVAILABLE

    def test_of_a_log_on_a_full_disk(self, run_of: MakeOrder) -> None:
        order = replace(run_of("sh", "-c", "echo words; sleep 60"), log_path=Path("/dev/full"))
        with pytest.raises(WorkflowError, match="No space left") as failure:
            run(order)
        assert failure.value.code is FailureCode.ARTIFACT_STORE_UNAVAILABLE


class TestInput:
    def test_ends(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "cat; cat; echo read it all")
        assert run(order) == (EndReason.EXITED, 0)
        assert [entry["line"] for entry in log_of(order)] == ["the prompt", "read it all"]


class TestSurroundings:
    def test_hold_no_open_file_of_the_worker(self, run_of: MakeOrder) -> None:
        launcher_files: list[str] = []

        def look(pid: int) -> None:
            # Its own start opens files for a moment.
            time.sleep(0.3)
            launcher_files.extend(str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())

        order = run_of("sh", "-c", "for fd in /proc/self/fd/*; do readlink $fd; done; true")
        with tempfile.NamedTemporaryFile() as file, socket.socket() as open_socket:
            os.set_inheritable(file.fileno(), True)
            os.set_inheritable(open_socket.fileno(), True)
            run_supervised(order, lease=FakeLease(), started=look)
            seen = [*launcher_files, *(str(entry.get("line")) for entry in log_of(order))]
        assert file.name not in seen
        assert not any(name.startswith("socket:") for name in seen)

    def test_are_those_of_the_order_alone(self, run_of: MakeOrder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GITHUB_TOKEN", "ghp_secret")
        order = run_of("env")
        run(order)
        names = {str(entry["line"]).partition("=")[0] for entry in log_of(order)}
        assert names == {"PATH", "MOONMIND_LAUNCH"}

    def test_do_not_reach_into_the_memory_of_the_worker(self, run_of: MakeOrder) -> None:
        run(run_of("true"))
        is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
        assert not is_dumpable

    def test_give_no_way_to_become_another_user(self, run_of: MakeOrder) -> None:
        order = run_of("grep", "NoNewPrivs", "/proc/self/status")
        run(order)
        assert str(log_of(order)[0]["line"]).split() == ["NoNewPrivs:", "1"]


class TestLog:
    def test_keeps_the_objects_that_the_agent_prints(self, run_of: MakeOrder) -> None:
        order = run_of("printf", r'{"type": "turn.completed"}\n[1]\n{"a": NaN}\n{broken\n')
        run(order)
        assert [entry.get("event", entry.get("line")) for entry in log_of(order)] == [
            {"type": "turn.completed"},
            "[1]",
            '{"a": NaN}',
            "{broken",
        ]

    def test_survives_bytes_that_are_no_text(self, run_of: MakeOrder) -> None:
        order = run_of("printf", r"a\377b\000c\033[31m\n\342\202")
        run(order)
        assert [(entry["line"], entry.get("partial", False)) for entry in log_of(order)] == [
            ("a\ufffdb\x00c\x1b[31m", False),
            ("\ufffd", True),
        ]
        assert b"\x1b" not in order.log_path.read_bytes()

    def test_cuts_a_line_of_a_hundred_megabytes(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo after it")
        assert run(order) == (EndReason.EXITED, 0)
        huge, after = log_of(order)
        assert len(str(huge["line"])) + int(str(huge["cut_bytes"])) == 100_000_000
        assert order.log_path.stat().st_size < 5_000_000
        assert after["line"] == "after it"

    def test_keeps_beginning_and_end_of_too_much(self, run_of: MakeOrder) -> None:
        order = run_of("seq", "1", "60000", log_limit=100_000)
        run(order)
        entries = log_of(order)
        lines = [entry["line"] for entry in entries if "line" in entry]
        assert (lines[0], lines[-1]) == ("1", "60000")
        assert order.log_path.stat().st_size < 1_300_000
        left_out = 60_000 - len(lines)
        assert f"{left_out} lines are left out here." in [entry.get("note") for entry in entries]

    def test_can_be_followed_while_the_agent_works(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "echo begun; while [ ! -e seen ]; do sleep 0.02; done")

        def watch() -> None:
            if log_of(order):
                (order.cwd / "seen").touch()

        end = run_supervised(order, lease=FakeLease(), started=lambda _pid: order.log_path.touch(), watch=watch)
        assert end.reason is EndReason.EXITED

    def test_is_there_when_the_watcher_gives_up(self, run_of: MakeOrder) -> None:
        order = run_of("sh", "-c", "echo begun; exec sleep 60")

        def watch() -> None:
            if order.log_path.exists() and log_of(order):
                raise StaleClaimError

        with pytest.raises(StaleClaimError):
            run_supervised(order, lease=FakeLease(), started=lambda _pid: None, watch=watch)
        assert log_of(order)[0]["line"] == "begun"


def test_eight_agents_at_once_do_not_disturb_each_other(run_of: MakeOrder, tmp_path: Path) -> None:
    orders = [
        replace(run_of("sh", "-c", f"sleep 0.2; echo {n}; exit {n}"), log_path=tmp_path / f"{n}.jsonl")
        for n in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(run, orders))
    assert ends == [(EndReason.EXITED, n) for n in range(8)]
    assert [log_of(order)[0]["line"] for order in orders] == [str(n) for n in range(8)]
