"""`moonmind tasks`: exit codes, the JSON document, and files that are none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from moonmind.cli.tasks import tasks
from moonmind.domain.plan_text import MAX_BYTES

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tasks"
WORK = "# Tasks\n## Phase 1: Setup\n- [x] T001 Start\n- [ ] T002 Go on\n"


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(tasks, [str(argument) for argument in arguments], input=stdin)


def file_with(folder: Path, text: str) -> Path:
    file = folder / "tasks.md"
    file.write_text(text, encoding="utf-8")
    return file


class TestExitCode:
    @pytest.mark.parametrize(
        ("text", "code", "words"),
        [
            (WORK, 0, "There is work."),
            ("## Phase 1\n- [x] T001 a\n", 4, "No work"),
            ("## Phase 1\n- [~] T001 a\n", 4, "Held"),
            ("hello\n", 1, "Unreadable."),
        ],
    )
    def test_says_what_the_file_asks_for(self, tmp_path: Path, text: str, code: int, words: str) -> None:
        result = run(file_with(tmp_path, text))
        assert result.exit_code == code
        assert words in result.stdout

    def test_is_two_without_a_file(self) -> None:
        assert run().exit_code == 2


class TestOutput:
    def test_shows_phases_and_open_tasks(self) -> None:
        result = run(FIXTURES / "bookshelf.md")
        [row] = [line.split() for line in result.stdout.splitlines() if line.startswith("    25  Phase 2: Found")]
        assert row[-4:] == ["1", "3", "1", "1"]
        assert "Next: Phase 2: Foundational (Blocking Prerequisites) (line 25)" in result.stdout
        assert "T004  [P] Add the migration" in result.stdout
        assert "Warning: " in result.stdout
        assert result.stderr == ""

    def test_lines_up_wide_letters(self) -> None:
        lines = run(FIXTURES / "tea_house.md").stdout.splitlines()
        rows = [line for line in lines if line.startswith("     ") and "階段" in line]
        assert [len(row) for row in rows] == [len(rows[0])] * 2
        assert rows[0] == "     3  第一階段：準備      1      1      0      0"

    def test_as_json_is_one_document(self, tmp_path: Path) -> None:
        result = run(file_with(tmp_path, WORK), "--json")
        document = json.loads(result.stdout)
        assert list(document) == [
            "status",
            "tasks_total",
            "tasks_done",
            "tasks_other",
            "phases",
            "next_phase",
            "warnings",
        ]
        assert document["next_phase"] == {
            "title": "Phase 1: Setup",
            "line": 2,
            "open_ids": ["T002"],
            "open_lines": [4],
        }

    def test_of_an_unreadable_file_as_json_keeps_advice_out_of_it(self, tmp_path: Path) -> None:
        result = run("--json", file_with(tmp_path, "hello\n"))
        assert json.loads(result.stdout)["status"] == "unreadable"
        assert "no task was found" in result.stderr
        assert "- [ ] T001" in result.stderr

    def test_keeps_control_characters_from_the_terminal(self, tmp_path: Path) -> None:
        result = run(file_with(tmp_path, "## Phase 1: \x1b[31mred\u202e\n- [ ] T001 a\x07b\n"))
        assert not set("\x1b\x07\u202e") & set(result.stdout)

    def test_reads_standard_input(self) -> None:
        assert run("-", stdin=WORK).exit_code == 0


class TestWhatIsNoFile:
    def refusal(self, path: Path | str) -> str:
        result = run(path)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Try: " in result.stderr
        return result.stderr

    def test_a_missing_one(self, tmp_path: Path) -> None:
        assert "does not exist" in self.refusal(tmp_path / "none.md")

    def test_a_folder_leads_to_the_file_in_it(self, tmp_path: Path) -> None:
        assert f"moonmind tasks {tmp_path}/tasks.md" in self.refusal(tmp_path)

    def test_a_pipe_does_not_make_it_wait(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "is no regular file" in self.refusal(tmp_path / "pipe")

    def test_a_symbolic_link_leads_to_its_target(self, tmp_path: Path) -> None:
        target = file_with(tmp_path, WORK)
        (tmp_path / "link.md").symlink_to(target)
        (tmp_path / "loop.md").symlink_to(tmp_path / "loop.md")
        assert f"moonmind tasks {target}" in self.refusal(tmp_path / "link.md")
        assert "symbolic link" in self.refusal(tmp_path / "loop.md")

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        with (tmp_path / "large.md").open("wb") as stream:
            stream.truncate(MAX_BYTES + 1)
        assert "2,097,153 bytes" in self.refusal(tmp_path / "large.md")

    @pytest.mark.parametrize("path", ["/dev/zero", "\x00", "x" * 5_000])
    def test_other_strange_paths(self, path: str) -> None:
        self.refusal(path)


def test_starts_without_what_it_does_not_need() -> None:
    """A command that a person runs in a loop while mending a file must not load the whole service."""
    program = "import sys, moonmind.cli.tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    assert not loaded & {"rich", "sqlalchemy", "celery", "fastapi", "pydantic", "httpx"}
