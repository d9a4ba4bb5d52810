"""A program that we start cannot hang us, flood us or outlive us."""

import os
import time
from pathlib import Path

import pytest

from moonmind.workspace.process import Program, TimeLimitError, run_bounded

_SHELL = ("/bin/sh", "-c")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def shell(script: str, tmp_path: Path, *, seconds: float = 10, limit: int = 1 << 20, stdin: bytes = b"") -> Program:
    return Program((*_SHELL, script), tmp_path, _ENVIRONMENT, stdin=stdin, seconds=seconds, limit=limit)


def is_gone(pid: int) -> bool:
    """Give the kernel a moment: a killed process is gone soon, not at once."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    ended = run_bounded(shell("cat; echo words >&2; exit 3", tmp_path, stdin=b"in"))
    assert (ended.code, ended.stdout, ended.stderr, ended.cut) == (3, b"in", "words\n", False)


def test_much_input_and_much_output_do_not_block_each_other(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    assert run_bounded(shell("cat", tmp_path, stdin=data, limit=1 << 20)).stdout == data


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(TimeLimitError):
        run_bounded(shell("sleep 60 & echo $! > pid; wait", tmp_path, seconds=0.3))
    assert time.monotonic() - started < 5
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_closes_its_pipes_is_still_stopped_in_time(tmp_path: Path) -> None:
    with pytest.raises(TimeLimitError):
        run_bounded(shell("exec >&- 2>&-; sleep 60", tmp_path, seconds=0.3))


def test_endless_output_is_cut_at_the_limit(tmp_path: Path) -> None:
    ended = run_bounded(shell("while :; do echo flood; done", tmp_path, limit=1000))
    assert ended.cut
    assert len(ended.stdout) == 1000


def test_of_endless_complaints_the_end_is_kept(tmp_path: Path) -> None:
    ended = run_bounded(shell("head -c 1000000 /dev/zero >&2; echo last words >&2", tmp_path))
    assert len(ended.stderr) <= 256 * 1024
    assert ended.stderr.endswith("last words\n")


def test_a_child_left_behind_does_not_keep_us_waiting(tmp_path: Path) -> None:
    started = time.monotonic()
    ended = run_bounded(shell("sleep 60 & echo $!", tmp_path, seconds=30))
    assert time.monotonic() - started < 5
    assert is_gone(int(ended.stdout))


def test_nothing_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    assert b"SECRET" not in run_bounded(shell("env", tmp_path)).stdout


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_bounded(Program(("/nonexistent/program",), tmp_path, _ENVIRONMENT))
