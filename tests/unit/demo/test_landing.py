"""What the demonstration shows of a branch is what a reviewer would see on the forge."""

from pathlib import Path

import pytest

from moonmind.demo.landing import read_landing
from moonmind.demo.sample import DEFAULT_BRANCH, make_sample
from tests.unit.demo.conftest import Checkout, git


@pytest.fixture
def forge(tmp_path: Path, checkout: Checkout) -> Path:
    """The sample's repository with a branch on which the agent finished two tasks."""
    repository = make_sample(tmp_path / "own-forge")
    checkout.ask(["T007", "T009"])
    checkout.commit()
    git(checkout.path, "push", "--quiet", str(repository), "HEAD:moonmind/phase-3")
    return repository


class TestLanding:
    def test_names_the_tasks_that_the_branch_ticks(self, forge: Path) -> None:
        landing = read_landing(forge, base=DEFAULT_BRANCH, head="moonmind/phase-3", colour=False)
        assert [task.split()[0] for task in landing.ticked] == ["T007", "T009"]

    def test_holds_the_diff_and_its_summary(self, forge: Path) -> None:
        landing = read_landing(forge, base=DEFAULT_BRANCH, head="moonmind/phase-3", colour=False)
        assert "+def current_streak(days: Iterable[date], *, today: date) -> int:" in landing.diff
        assert landing.summary[-1].startswith(" 5 files changed")

    def test_leaves_out_what_came_to_the_base_meanwhile(self, forge: Path, checkout: Checkout) -> None:
        git(checkout.path, "reset", "--hard", "--quiet", f"origin/{DEFAULT_BRANCH}")
        (checkout.path / "NEWS.md").write_text("Something else.\n")
        checkout.commit()
        git(checkout.path, "push", "--quiet", str(forge), f"HEAD:{DEFAULT_BRANCH}")
        landing = read_landing(forge, base=DEFAULT_BRANCH, head="moonmind/phase-3", colour=False)
        assert not any("NEWS.md" in line for line in landing.diff)

    def test_is_coloured_only_when_asked(self, forge: Path) -> None:
        plain = read_landing(forge, base=DEFAULT_BRANCH, head="moonmind/phase-3", colour=False)
        coloured = read_landing(forge, base=DEFAULT_BRANCH, head="moonmind/phase-3", colour=True)
        assert not any("\x1b[" in line for line in plain.diff)
        assert any("\x1b[32m" in line for line in coloured.diff)
