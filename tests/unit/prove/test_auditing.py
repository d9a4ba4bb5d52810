"""The audit has to notice what a proof exists for: each test spoils one thing that a good run left behind."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from moonmind.domain.states import Stage
from moonmind.prove.auditing import Audit
from moonmind.prove.faults import Act, FaultKind
from moonmind.prove.ledger import Live
from moonmind.prove.outcome import Fault
from moonmind.prove.tables import ARTIFACTS
from tests.unit.prove.scene import BRANCH, MARKER, RUN, START, Scene, landed_run


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = landed_run(tmp_path)
    yield scene
    scene.database.dispose()


def test_a_run_that_went_well_is_beyond_reproach(scene: Scene) -> None:
    found = scene.findings()
    assert (found.lost, found.duplicate_pull_requests, found.duplicate_submissions, found.stale_writes) == ([],) * 4
    assert (found.runs, found.endings, found.submissions) == (1, {"succeeded": 1}, 1)


class TestLost:
    def test_an_accepted_order_without_a_run(self, scene: Scene) -> None:
        scene.accepted[0] = UUID(int=8)
        assert "not in the database" in scene.findings().lost[0]

    @pytest.mark.parametrize("status", ["running", "failed"])
    def test_a_run_that_did_not_succeed(self, scene: Scene, status: str) -> None:
        scene.change_run(status=status)
        assert f"is {status}" in scene.findings().lost[0]

    def test_a_run_that_succeeded_without_a_pull_request(self, scene: Scene) -> None:
        (scene.bare.with_suffix(".pulls") / "1.json").unlink()
        assert len(scene.findings().lost) == 1


class TestDuplicatePullRequests:
    def test_a_second_one(self, scene: Scene) -> None:
        scene.open_pull_request(2)
        assert len(scene.findings().duplicate_pull_requests) == 1

    def test_a_second_branch(self, scene: Scene) -> None:
        scene.commit(submission=1, branch=f"{BRANCH}-2")
        assert any(f"{BRANCH}-2" in words for words in scene.findings().duplicate_pull_requests)

    def test_a_branch_that_belongs_to_no_feature(self, scene: Scene) -> None:
        scene.commit(submission=1, branch="somewhere/else")
        assert scene.findings().duplicate_pull_requests == ["stray branch r0000: somewhere/else"]

    def test_a_run_that_nobody_ordered(self, scene: Scene) -> None:
        scene.accepted.clear()
        assert any("never ordered" in words for words in scene.findings().duplicate_pull_requests)


class TestDuplicateSubmissions:
    def test_two_agents_alive_at_once(self, scene: Scene) -> None:
        scene.submit(marker=f"mm-run-{RUN}-1-2", overlaps=MARKER)
        assert any("was alive" in words for words in scene.findings().duplicate_submissions)

    def test_a_superseded_result_that_landed(self, scene: Scene) -> None:
        scene.submit(marker=f"mm-run-{RUN}-1-2")
        assert any("submission 1 landed" in words for words in scene.findings().duplicate_submissions)


class TestStaleWrites:
    def test_a_stage_that_succeeded_without_being_claimed_again(self, scene: Scene) -> None:
        scene.event(23, "apply", "queued")
        scene.event(24, "apply", "succeeded")
        assert any("succeeded after it was queued" in words for words in scene.findings().stale_writes)

    def test_a_stage_that_went_on_after_its_success(self, scene: Scene) -> None:
        scene.event(23, "apply", "running")
        assert any("after it had succeeded" in words for words in scene.findings().stale_writes)

    def test_an_artifact_of_an_earlier_claim(self, scene: Scene) -> None:
        scene.add(ARTIFACTS, run_id=RUN, attempt=1, path=f"{RUN}/a1-apply-t0/final.patch")
        assert any("another claim" in words for words in scene.findings().stale_writes)

    def test_a_second_commit_on_the_branch_even_when_it_was_overwritten(self, scene: Scene) -> None:
        scene.commit(submission=2)
        scene.commit(submission=1)
        assert any("has the commits" in words for words in scene.findings().stale_writes)

    def test_a_commit_on_top_of_the_first(self, scene: Scene) -> None:
        scene.commit(submission=1, on=BRANCH)
        assert any("2 commits beyond its base" in words for words in scene.findings().stale_writes)


@pytest.mark.parametrize(("after", "seconds"), [(0, 1.0), (11.5, 0.5), (89, 1.0), (91, None)])
def test_recovery_is_the_time_to_the_next_step_of_the_run(scene: Scene, after: float, seconds: float | None) -> None:
    hit = Live(RUN, Stage.SUBMIT, 1, "holder", START + timedelta(seconds=after))
    fault = Fault(FaultKind(Act.KILL, "story", Stage.SUBMIT), hit)
    audit = Audit(scene.folder, scene.database, scene.accepted)
    assert [measured.recovery for measured in audit.with_recoveries([fault])] == [seconds]
