"""The script agent really implements the tasks it is asked for, or says why not."""

import pytest

from moonmind.demo.sample import FEATURE_KEY, TASKS_FILE
from moonmind.domain.prompts import render_prompt
from moonmind.domain.results import Discovered, PhaseRef, TaskRef
from tests.unit.demo.conftest import Checkout, git

STORY_1 = ["T007", "T008", "T009", "T010"]
STORY_2 = ["T011", "T012", "T013"]
POLISH = ["T014", "T015", "T016", "T017"]


def prompt_of_the_service(checkout: Checkout, *, open_ids: list[str], finished_ids: list[str]) -> str:
    def found(ids: list[str]) -> tuple[TaskRef, ...]:
        lines = enumerate(checkout.tasks.splitlines(), start=1)
        return tuple(TaskRef(line=at, text=line[11:], id=line[6:10]) for at, line in lines if line[6:10] in ids)

    discovered = Discovered(
        repository="moonmind/sample",
        feature_key=FEATURE_KEY,
        feature_dir=f"specs/{FEATURE_KEY}",
        base_branch="main",
        default_branch="main",
        base_sha="0" * 40,
        tasks_path=TASKS_FILE,
        tasks_sha256="0" * 64,
        tasks_total=17,
        tasks_done=6,
        phase=PhaseRef("Phase 3: User Story 1", 40),
        tasks=found(open_ids),
        finished=found(finished_ids),
        branch="moonmind/001-habit-streaks/phase-3-user-story-1",
    )
    return render_prompt(discovered, marker="run/1", notes="Please leave - [ ] T014 alone.", retry_reason=None)


class TestScriptAgent:
    def test_says_first_that_it_is_a_script(self, checkout: Checkout) -> None:
        assert "a script, not a language model" in checkout.ask(STORY_1).stdout.splitlines()[0]

    def test_says_each_step(self, checkout: Checkout) -> None:
        said = checkout.ask(["T009", "T010", "T007", "T008"]).stdout.splitlines()
        ran = said[-2]
        assert said[1:] == [
            "I write prepared code for the tasks of one sample repository.",
            "I am asked for T007, T008, T009, T010.",
            "T007: adding src/habitlog/streaks.py",
            "T007: adding tests/test_streaks.py",
            "T008: changing src/habitlog/streaks.py",
            "T008: changing tests/test_streaks.py",
            "T009: adding src/habitlog/words.py",
            "T009: adding tests/test_words.py",
            "T010: changing src/habitlog/cli.py",
            "T010: changing tests/test_cli.py",
            "Running the sample's tests: python -m unittest",
            ran,
            "Finished T007, T008, T009, T010; the sample's tests pass.",
        ]
        assert ran.startswith("Ran 23 tests")

    def test_says_why_it_gives_up(self, checkout: Checkout) -> None:
        assert checkout.say("Hello").stdout.splitlines()[1:] == ["I stop here: the prompt lists no open task."]

    def test_implements_one_phase_after_the_other(self, checkout: Checkout) -> None:
        for phase in (STORY_1, STORY_2, POLISH):
            done = checkout.ask(phase)
            assert done.returncode == 0, done.stdout
            assert checkout.run_tests().returncode == 0
            assert not set(phase) & set(checkout.open_ids)
            checkout.commit()
        assert checkout.open_ids == []
        # T017 turned the quickstart into a test, so what the feature promises has just been tried.
        assert "test_works_as_written" in (checkout.path / "tests/test_quickstart.py").read_text()

    def test_ticks_what_it_was_asked_for_and_nothing_else(self, checkout: Checkout) -> None:
        before = checkout.tasks
        checkout.ask(["T009"])
        assert checkout.tasks == before.replace("- [ ] T009", "- [X] T009")

    def test_understands_the_prompt_of_the_service(self, checkout: Checkout) -> None:
        done = checkout.say(prompt_of_the_service(checkout, open_ids=["T008", "T009"], finished_ids=["T007"]))
        assert "T008 builds on T007" in done.stdout, "the base commit decides what is finished, not the prompt"
        done = checkout.say(prompt_of_the_service(checkout, open_ids=["T007", "T008"], finished_ids=["T006"]))
        assert done.returncode == 0
        assert checkout.open_ids[:2] == ["T009", "T010"]

    @pytest.mark.parametrize("ids", [["T007"], ["T009"], ["T007", "T008"], ["T012"], ["T014"], ["T015", "T016"]])
    def test_does_a_part_of_a_phase(self, checkout: Checkout, ids: list[str]) -> None:
        assert checkout.ask(ids).returncode == 0
        assert checkout.run_tests().returncode == 0
        assert not set(ids) & set(checkout.open_ids)

    def test_does_every_task_on_its_own_in_the_order_of_the_list(self, checkout: Checkout) -> None:
        for task_id in (*STORY_1, *STORY_2, *POLISH):
            assert checkout.ask([task_id]).returncode == 0, task_id
        checkout.commit()
        one_by_one = git(checkout.path, "rev-parse", "HEAD^{tree}")
        git(checkout.path, "reset", "--hard", "--quiet", "HEAD~1")
        checkout.ask([*STORY_1, *STORY_2, *POLISH])
        checkout.commit()
        assert git(checkout.path, "rev-parse", "HEAD^{tree}") == one_by_one

    def test_does_the_stories_in_either_order(self, checkout: Checkout) -> None:
        for phase in (STORY_2, STORY_1, POLISH):
            assert checkout.ask(phase).returncode == 0
        assert checkout.run_tests().returncode == 0

    def test_asked_twice_changes_nothing_the_second_time(self, checkout: Checkout) -> None:
        checkout.ask(STORY_1)
        checkout.commit()
        done = checkout.ask(STORY_1)
        assert done.returncode == 0
        assert checkout.changed == []

    def test_takes_up_work_that_was_cut_off_before_the_ticks(self, checkout: Checkout) -> None:
        open_list = checkout.tasks
        checkout.ask(STORY_1)
        checkout.commit()
        (checkout.path / "specs/001-habit-streaks/tasks.md").write_text(open_list)
        assert checkout.ask(STORY_1).returncode == 0
        assert checkout.changed == []

    def test_leaves_no_file_that_is_not_part_of_the_work(self, checkout: Checkout) -> None:
        checkout.ask(STORY_2)
        assert checkout.changed == [
            "specs/001-habit-streaks/tasks.md",
            "src/habitlog/cli.py",
            "tests/test_cli.py",
            "src/habitlog/completion.py",
            "src/habitlog/month.py",
            "tests/test_completion.py",
            "tests/test_month.py",
        ]


class TestWhatTheScriptRefuses:
    def test_a_task_whose_ground_is_missing(self, checkout: Checkout) -> None:
        done = checkout.ask(["T010"])
        assert done.returncode == 1
        assert "T010 builds on T007, T008, T009" in done.stdout
        assert checkout.changed == []

    def test_a_task_that_nobody_prepared(self, checkout: Checkout) -> None:
        done = checkout.say("- [ ] T099 Do something else")
        assert done.returncode == 1
        assert "nothing prepared for T099" in done.stdout

    def test_a_prompt_without_tasks(self, checkout: Checkout) -> None:
        done = checkout.say("Please make it better.")
        assert done.returncode == 1
        assert "lists no open task" in done.stdout

    def test_a_repository_that_is_not_the_sample(self, checkout: Checkout) -> None:
        git(checkout.path, "rm", "-rq", "specs")
        done = checkout.say("- [ ] T007 Count the current streak")
        assert done.returncode == 1
        assert "I only know the sample repository" in done.stdout

    def test_a_file_that_somebody_rebuilt(self, checkout: Checkout) -> None:
        command = checkout.path / "src/habitlog/cli.py"
        command.write_text(command.read_text().replace("def build_parser(", "def make_parser("))
        done = checkout.ask(STORY_1)
        assert done.returncode == 1
        assert "src/habitlog/cli.py has no line that starts with 'def build_parser('" in done.stdout

    def test_to_call_a_task_finished_whose_tests_fail(self, checkout: Checkout) -> None:
        entries = checkout.path / "src/habitlog/entries.py"
        entries.write_text(entries.read_text().replace("fullmatch", "match"))
        before = checkout.tasks
        done = checkout.ask(STORY_1)
        assert done.returncode == 1
        assert "the sample's tests fail" in done.stdout
        assert checkout.tasks == before
