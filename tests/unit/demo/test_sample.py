"""The sample repository is a credible Spec Kit project whose tests pass."""

from pathlib import Path

import pytest

from moonmind.demo.sample import DEFAULT_BRANCH, TASKS_FILE, make_sample
from moonmind.domain.plan import PlanStatus, TaskState, read_plan
from tests.unit.demo.conftest import Checkout, git


class TestSample:
    def test_is_a_bare_repository_where_the_forge_looks_for_it(self, tmp_path: Path) -> None:
        repository = make_sample(tmp_path)
        assert repository == tmp_path / "moonmind" / "sample.git"
        assert git(repository, "rev-parse", "--is-bare-repository").strip() == "true"
        assert git(repository, "symbolic-ref", "HEAD").strip() == f"refs/heads/{DEFAULT_BRANCH}"
        git(repository, "fsck", "--strict")

    def test_has_the_same_commits_wherever_it_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = make_sample(tmp_path / "first")
        settings = tmp_path / "gitconfig"
        settings.write_text("[core]\n\tautocrlf = true\n[init]\n\tdefaultBranch = trunk\n[commit]\n\tgpgSign = true\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        second = make_sample(tmp_path / "second")
        assert git(first, "rev-parse", DEFAULT_BRANCH) == git(second, "rev-parse", DEFAULT_BRANCH)

    def test_is_left_alone_when_it_is_there(self, tmp_path: Path) -> None:
        repository = make_sample(tmp_path)
        git(repository, "update-ref", f"refs/heads/{DEFAULT_BRANCH}", f"{DEFAULT_BRANCH}~1")
        moved = git(repository, "rev-parse", DEFAULT_BRANCH)
        make_sample(tmp_path)
        assert git(repository, "rev-parse", DEFAULT_BRANCH) == moved

    def test_leaves_nothing_else_behind(self, tmp_path: Path) -> None:
        make_sample(tmp_path)
        assert [path.name for path in (tmp_path / "moonmind").iterdir()] == ["sample.git"]

    def test_has_a_history_in_which_tasks_were_ticked_when_they_were_done(self, tmp_path: Path) -> None:
        repository = make_sample(tmp_path)
        commits = git(repository, "rev-list", "--reverse", DEFAULT_BRANCH).split()
        ticked = [git(repository, "show", f"{commit}:{TASKS_FILE}").count("- [X] ") for commit in commits]
        assert ticked == [0, 3, 6]

    def test_has_five_phases_of_which_two_are_done(self, checkout: Checkout) -> None:
        plan = read_plan((checkout.path / TASKS_FILE).read_bytes())
        assert plan.status is PlanStatus.WORK
        assert not plan.warnings
        done = {
            phase.title.split(" - ")[
                0
            ]: f"{sum(task.state is TaskState.DONE for task in phase.tasks)}/{len(phase.tasks)}"
            for phase in plan.phases
        }
        assert done == {
            "Phase 1: Setup": "3/3",
            "Phase 2: Foundational": "3/3",
            "Phase 3: User Story 1": "0/4",
            "Phase 4: User Story 2": "0/3",
            "Phase 5: Polish & Cross-Cutting Concerns": "0/4",
        }

    def test_has_every_file_of_a_spec_kit_feature(self, checkout: Checkout) -> None:
        feature = (checkout.path / TASKS_FILE).parent
        files = {path.relative_to(feature).as_posix() for path in feature.rglob("*.md")}
        assert files == {
            "contracts/cli.md",
            "data-model.md",
            "plan.md",
            "quickstart.md",
            "research.md",
            "spec.md",
            "tasks.md",
        }

    def test_passes_its_own_tests(self, checkout: Checkout) -> None:
        done = checkout.run_tests()
        assert done.returncode == 0, done.stderr
        assert "Ran 11 tests" in done.stderr
