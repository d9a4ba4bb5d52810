"""What the demonstration tells people to type works when it is pasted."""

import subprocess
from pathlib import Path

import pytest

import moonmind.demo
from moonmind.cli.demo_page import DIFF_LINES, NextSteps, landing_lines
from moonmind.cli.views import RunView, run_view
from moonmind.demo.landing import Landing
from moonmind.demo.sample import make_sample
from tests.unit.demo.conftest import Checkout, git

BRANCH = "moonmind/001-habit-streaks/phase-3-user-story-1"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder that the demonstration was called from; a space in its name needs quoting."""
    folder = tmp_path / "my projects"
    folder.mkdir()
    return folder


def finished_run(commit: str = "0123456789abcdef") -> RunView:
    return run_view(
        {
            "status": "succeeded",
            "branchName": BRANCH,
            "baseBranch": "main",
            "commitSha": commit,
            "prNumber": 1,
            "prUrl": "http://127.0.0.1:43210/forge/moonmind/sample/pulls/1",
        }
    )


def commands(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.startswith("  ") and not line.startswith("  #")]


class TestNextSteps:
    @pytest.mark.parametrize("data", ["var/demo", "../elsewhere/demo"])
    def test_show_and_try_the_branch(self, data: str, here: Path, checkout: Checkout) -> None:
        folder = (here / data).resolve()
        repository = make_sample(folder / "forge")
        checkout.ask(["T007", "T008", "T009", "T010"])
        checkout.commit()
        git(checkout.path, "push", "--quiet", str(repository), f"HEAD:{BRANCH}")
        run = finished_run(git(checkout.path, "rev-parse", "HEAD").strip())
        show_diff, try_branch, *_ = commands(list(NextSteps(folder, here).after(run)))
        shown = subprocess.run(["sh", "-c", show_diff], cwd=here, check=True, capture_output=True, text=True)
        assert "+def current_streak(" in shown.stdout
        tried = subprocess.run(["sh", "-c", try_branch], cwd=here, check=False, capture_output=True, text=True)
        assert tried.returncode == 0, tried.stderr
        assert tried.stderr.endswith("OK\n")

    def test_begin_anew_names_the_folder_to_remove(self, here: Path) -> None:
        begin = commands(list(NextSteps(here / "var" / "demo", here).after(run_view({"status": "no_work"}))))[2]
        assert begin.startswith("rm -r var/demo && ")

    def test_name_a_folder_of_its_own_in_each_further_call(self, here: Path) -> None:
        again = NextSteps(here / "other", here).again
        assert again.endswith(" --data-dir other")

    def test_quote_what_the_shell_would_split(self, tmp_path: Path, here: Path) -> None:
        assert NextSteps(here / "demo", tmp_path).shown(here / "demo") == "'my projects/demo'"

    def test_name_a_command_of_this_installation(self) -> None:
        root = Path(moonmind.demo.__file__).parents[2]
        command = NextSteps(root / "var" / "demo", root).moonmind
        done = subprocess.run(["sh", "-c", f"{command} --help"], cwd=root, check=True, capture_output=True, text=True)
        assert "Usage: moonmind" in done.stdout


class TestLandingLines:
    def test_tell_branch_pull_request_tasks_and_diff(self) -> None:
        landing = Landing(ticked=["T007 One", "T008 Two"], summary=[" 2 files changed"], diff=["+a", "+b"])
        lines = list(landing_lines(finished_run(), landing, most_lines=None))
        assert lines == [
            f"Branch        {BRANCH}",
            "Pull request  #1  http://127.0.0.1:43210/forge/moonmind/sample/pulls/1",
            "Ticked tasks  [X] T007 One",
            "              [X] T008 Two",
            "",
            "What it changes",
            " 2 files changed",
            "",
            "+a",
            "+b",
        ]

    def test_say_how_much_of_a_long_diff_is_left_out(self) -> None:
        landing = Landing(ticked=[], summary=[], diff=[f"+{number}" for number in range(DIFF_LINES + 7)])
        lines = list(landing_lines(finished_run(), landing, most_lines=DIFF_LINES))
        assert lines[-2:] == [
            f"+{DIFF_LINES - 1}",
            "... and 7 lines more; the first command below shows all of them",
        ]
