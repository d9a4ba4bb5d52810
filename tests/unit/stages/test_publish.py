"""Publishing lands one branch and one pull request, whatever was tried before and whoever acts meanwhile."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.markers import find_marker
from moonmind.domain.outcomes import Ended
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import PullRequestDraft, PullRequestIntent, PullRequestState, PushIntent
from moonmind.domain.pull_requests import marker_of, render_marker
from moonmind.domain.results import Published
from moonmind.domain.states import RunOutcome
from tests.repositories import TASKS
from tests.unit.stages.desk import BRANCH, REPOSITORY, RUN_ID, TASKS_PATH, Desk, failure, refused, result_of

FOREIGN: dict[str, bytes | None] = {"theirs.txt": b"theirs\n"}


def opening(desk: Desk, body: str) -> Callable[[], object]:
    """Open a pull request of our branch behind the stage's back."""
    draft = PullRequestDraft(BRANCH, "main", "Theirs", body)
    return lambda: desk.forge.open_pull_request(desk.forge.describe(REPOSITORY), draft)


def states(desk: Desk) -> list[tuple[str, PullRequestState]]:
    return [(request.head, request.state) for request in desk.forge.opened]


def ended_in_flight(outcome: object) -> bool:
    return isinstance(outcome, Ended) and outcome.outcome is RunOutcome.PHASE_IN_FLIGHT


class TestFirstTime:
    def test_one_branch_and_one_pull_request_come_of_it(self, planned: Desk) -> None:
        result = result_of(planned.publish(planned.ready_to_publish()), Published)
        (request,) = planned.forge.opened
        assert (request.head, request.base, request.head_sha) == (BRANCH, "main", result.commit_sha)
        assert (result.branch, result.pull_request_url) == (BRANCH, request.url)
        assert result.outcome is RunOutcome.PULL_REQUEST_CREATED
        assert planned.branch_files(BRANCH)["greeting.txt"] == b"hello\n"
        assert planned.branch_files(BRANCH)[TASKS_PATH] == TASKS.replace("[ ] T002", "[x] T002").encode()

    def test_both_sides_of_the_talk_are_kept(self, planned: Desk) -> None:
        planned.publish(planned.ready_to_publish())
        (request,) = planned.forge.opened
        assert json.loads(planned.text("pr_payload.json"))["body"] == request.body
        assert json.loads(planned.text("pull_request.json"))["url"] == request.url
        assert planned.stored("gh_push_log")

    def test_the_body_ends_with_the_runs_marker(self, planned: Desk) -> None:
        planned.publish(planned.ready_to_publish())
        marker = find_marker(planned.forge.opened[0].body)
        assert marker is not None
        assert marker.run == str(RUN_ID)

    def test_the_same_run_makes_the_same_commit_anywhere(self, planned: Desk, tmp_path: Path) -> None:
        other = Desk(tmp_path / "other")
        other.plan()
        shas = {result_of(desk.publish(desk.ready_to_publish()), Published).commit_sha for desk in (planned, other)}
        assert len(shas) == 1


class TestAgain:
    def test_finds_what_the_first_delivery_left(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        first = result_of(planned.publish(order), Published)
        second = result_of(planned.publish(order), Published)
        assert (first.commit_sha, first.pull_request_url) == (second.commit_sha, second.pull_request_url)
        assert second.outcome is RunOutcome.PULL_REQUEST_UPDATED
        assert (len(planned.workspace.pushed), len(planned.forge.opened)) == (1, 1)

    def test_brings_the_words_up_to_date(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.publish(order)
        planned.publish(replace(order, notes="Look at the table."))
        assert "Look at the table." in planned.forge.opened[0].body

    def test_a_lost_answer_to_the_push_is_made_good(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.workspace.lose_next_answer()
        assert refused(lambda: planned.publish(order)) is FailureCode.REPOSITORY_UNREACHABLE
        result_of(planned.publish(order), Published)
        assert (len(planned.workspace.pushed), len(planned.forge.opened)) == (1, 1)

    def test_a_lost_answer_to_the_pull_request_is_made_good(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.forge.lose_next_answer()
        assert refused(lambda: planned.publish(order)) is FailureCode.FORGE_UNAVAILABLE
        result_of(planned.publish(order), Published)
        assert len(planned.forge.opened) == 1

    def test_with_a_new_patch_moves_the_branch_on(self, planned: Desk) -> None:
        first = planned.ready_to_publish()
        planned.publish(first)
        ready = replace(first, applied=replace(first.applied, unverified=True))
        second = result_of(planned.publish(ready), Published)
        assert planned.forge.tip(REPOSITORY, BRANCH) == second.commit_sha
        assert [commit.commit_sha == second.commit_sha for commit in planned.workspace.pushed] == [False, True]
        assert len(planned.forge.opened) == 1

    def test_after_a_crash_before_the_pull_request_leaves_no_branch_without_a_word(self, planned: Desk) -> None:
        """The rule about landed phases holds before the first push alone."""
        order = planned.ready_to_publish()
        planned.guard.after(PullRequestIntent, planned.guard.lose)
        with pytest.raises(StaleClaimError):
            planned.publish(order)
        planned.guard = type(planned.guard)()
        planned.guard.begin(PushIntent(BRANCH, planned.workspace.pushed[0].commit_sha))
        planned.commit("main", {TASKS_PATH: TASKS.replace("[ ] T002", "[x] T002").encode()})
        result_of(planned.publish(order), Published)
        assert states(planned) == [(BRANCH, PullRequestState.OPEN)]


class TestDecidedByAPerson:
    def test_merged_is_success_with_what_was_merged(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        first = result_of(planned.publish(order), Published)
        planned.forge.merge(REPOSITORY, 1)
        second = result_of(planned.publish(replace(order, notes="Other words.")), Published)
        assert (second.outcome, second.commit_sha) == (RunOutcome.PULL_REQUEST_MERGED, first.commit_sha)
        assert "Other words." not in planned.forge.opened[0].body

    def test_closed_stays_closed(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.publish(order)
        planned.forge.close(REPOSITORY, 1)
        assert failure(planned.publish(order)) is FailureCode.PULL_REQUEST_CLOSED
        assert states(planned) == [(BRANCH, PullRequestState.CLOSED)]

    def test_closed_and_wanted_again_takes_the_next_branch(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.publish(order)
        planned.forge.close(REPOSITORY, 1)
        result = result_of(planned.publish(order, closings_answered=1), Published)
        assert result.branch == f"{BRANCH}-2"
        assert states(planned) == [(BRANCH, PullRequestState.CLOSED), (f"{BRANCH}-2", PullRequestState.OPEN)]
        assert planned.forge.opened[1].head_sha == result.commit_sha

    def test_a_second_no_is_heard_too(self, planned: Desk) -> None:
        """One answer of an operator once opened any number of pull requests against any number of closings."""
        order = planned.ready_to_publish()
        planned.publish(order)
        planned.forge.close(REPOSITORY, 1)
        planned.publish(order, closings_answered=1)
        planned.forge.close(REPOSITORY, 2)
        assert failure(planned.publish(order, closings_answered=1)) is FailureCode.PULL_REQUEST_CLOSED
        assert len(planned.forge.opened) == 2

    def test_reopened_by_hand_from_our_commit_is_ours(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.publish(order)
        planned.forge.close(REPOSITORY, 1)
        again = planned.forge.open_pull_request(
            planned.forge.describe(REPOSITORY), PullRequestDraft(BRANCH, "main", "Again", "By hand.")
        )
        result = result_of(planned.publish(order), Published)
        assert (result.pull_request_number, result.outcome) == (again.number, RunOutcome.PULL_REQUEST_UPDATED)


class TestBranchOfOthers:
    def test_with_a_commit_that_is_not_ours_stops_the_run(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        tip = planned.commit(BRANCH, FOREIGN)
        assert refused(lambda: planned.publish(order)) is FailureCode.BRANCH_MOVED
        assert planned.forge.tip(REPOSITORY, BRANCH) == tip
        assert planned.forge.opened == []

    def test_that_a_person_pushed_to_in_review_is_left_alone(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.publish(order)
        planned.commit(BRANCH, FOREIGN)
        assert refused(lambda: planned.publish(order)) is FailureCode.BRANCH_MOVED

    def test_left_over_from_an_earlier_run_of_ours_is_used_again(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        tip = planned.commit(BRANCH, {"left.txt": b"over\n"})
        planned.pushed = {BRANCH: frozenset({tip})}
        result = result_of(planned.publish(order), Published)
        assert planned.forge.tip(REPOSITORY, BRANCH) == result.commit_sha

    def test_in_flight_ends_the_run_with_that_pull_request(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        request = planned.request()
        ended = planned.publish(order)
        assert ended_in_flight(ended)
        assert isinstance(ended, Ended)
        assert ended.pull_request_url == request.url

    def test_in_flight_under_another_title_is_never_pushed_over(self, planned: Desk) -> None:
        """An aside in the title changes the marker and keeps the branch."""
        order = planned.ready_to_publish()
        request = planned.request(phase="Phase 2: Story (Priority: P1)")
        planned.pushed = {BRANCH: frozenset({request.head_sha})}
        assert ended_in_flight(planned.publish(order))
        assert planned.forge.tip(REPOSITORY, BRANCH) == request.head_sha

    @pytest.mark.parametrize("run", ["another", None])
    def test_used_up_since_discovery_is_passed_over(self, planned: Desk, run: str | None) -> None:
        order = planned.ready_to_publish()
        request = planned.request(run=run)
        planned.forge.close(REPOSITORY, request.number)
        planned.pushed = {BRANCH: frozenset({request.head_sha})}
        result = result_of(planned.publish(order), Published)
        assert (result.branch, planned.forge.tip(REPOSITORY, BRANCH)) == (f"{BRANCH}-2", request.head_sha)

    def test_with_a_persons_open_pull_request_is_left_to_them(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.request(run=None)
        assert result_of(planned.publish(order), Published).branch == f"{BRANCH}-2"

    def test_that_others_build_on_is_never_pushed_to(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        order = replace(order, discovered=replace(order.discovered, branch="main"))
        assert refused(lambda: planned.publish(order)) is FailureCode.BRANCH_PROTECTED

    def test_that_the_forge_protects_says_so_and_keeps_the_log(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.workspace.protect(REPOSITORY, BRANCH)
        assert refused(lambda: planned.publish(order)) is FailureCode.BRANCH_PROTECTED
        assert planned.stored("gh_push_log")


class TestBaseBranch:
    @pytest.mark.parametrize(
        ("files", "landed"),
        [
            ({"README.md": b"moved\n"}, False),
            ({"greeting.txt": b"good morning\n"}, False),
            ({TASKS_PATH: TASKS.replace("[ ] T004", "[x] T004").encode()}, False),
            ({TASKS_PATH: TASKS.replace("[ ] T003", "[X] T003").encode()}, True),
            ({TASKS_PATH: None}, False),
        ],
    )
    def test_that_moved_matters_only_when_a_submitted_task_is_ticked(
        self, planned: Desk, files: dict[str, bytes | None], landed: bool
    ) -> None:
        order = planned.ready_to_publish()
        planned.commit("main", files)
        outcome = planned.publish(order)
        if landed:
            assert failure(outcome) is FailureCode.PHASE_ALREADY_LANDED
            assert "T003" in str(outcome)
            assert planned.workspace.pushed == []
        else:
            assert result_of(outcome, Published).outcome is RunOutcome.PULL_REQUEST_CREATED

    def test_that_is_gone_stops_the_run(self, planned: Desk) -> None:
        planned.commit("develop", {TASKS_PATH: TASKS.encode()})
        order = planned.ready_to_publish()
        order = replace(order, discovered=replace(order.discovered, base_branch="develop"))
        planned.workspace.delete_branch(REPOSITORY, "develop")
        assert refused(lambda: planned.publish(order)) is FailureCode.BASE_BRANCH_NOT_FOUND


class TestRace:
    def test_a_pull_request_that_appears_after_the_look_is_updated_and_not_doubled(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        body = render_marker(marker_of(order.discovered, order.run_id))
        planned.guard.after(PullRequestIntent, opening(planned, body))
        result = result_of(planned.publish(order), Published)
        (request,) = planned.forge.opened
        assert (result.outcome, result.pull_request_number) == (RunOutcome.PULL_REQUEST_UPDATED, request.number)
        assert request.body != body

    def test_one_that_was_even_merged_meanwhile_keeps_its_words(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        body = render_marker(marker_of(order.discovered, order.run_id))

        def open_and_merge() -> None:
            opening(planned, body)()
            planned.forge.merge(REPOSITORY, 1)

        planned.guard.after(PullRequestIntent, open_and_merge)
        result = result_of(planned.publish(order), Published)
        assert (result.outcome, planned.forge.opened[0].body) == (RunOutcome.PULL_REQUEST_MERGED, body)

    def test_a_branch_that_another_run_took_at_the_last_moment_is_in_flight(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.guard.after(PushIntent, planned.request)
        assert ended_in_flight(planned.publish(order))

    def test_a_branch_that_a_person_took_at_the_last_moment_stops_the_run(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.guard.after(PushIntent, lambda: planned.commit(BRANCH, FOREIGN))
        assert refused(lambda: planned.publish(order)) is FailureCode.BRANCH_MOVED
        assert planned.stored("gh_push_log")

    def test_a_merge_between_look_and_push_is_success(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.publish(order)

        def merge() -> None:
            planned.forge.merge(REPOSITORY, 1)
            planned.forge.delete_branch(REPOSITORY, BRANCH)
            planned.workspace.delete_branch(REPOSITORY, BRANCH)

        planned.guard.after(PushIntent, merge)
        other = replace(order, applied=replace(order.applied, unverified=True))
        result = result_of(planned.publish(other), Published)
        assert result.outcome is RunOutcome.PULL_REQUEST_MERGED


class TestRefusal:
    def test_by_credentials_comes_before_everything(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.forge.refuse_credentials("The token is expired.")
        assert refused(lambda: planned.publish(order)) is FailureCode.FORGE_UNAVAILABLE
        assert (planned.workspace.pushed, planned.forge.opened) == ([], [])

    def test_by_a_cancel_lets_nothing_leave(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.guard.cancel()
        with pytest.raises(CancelRecordedError):
            planned.publish(order)
        assert planned.workspace.pushed == []

    def test_by_a_cancel_after_the_push_began_comes_too_late(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.guard.after(PushIntent, planned.guard.cancel)
        result_of(planned.publish(order), Published)
        assert len(planned.forge.opened) == 1

    def test_of_a_patch_that_was_changed_in_the_store(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.store.damage(order.applied.final_patch, b"other")
        assert refused(lambda: planned.publish(order)) is FailureCode.ARTIFACT_DIGEST_MISMATCH

    def test_of_a_tree_that_was_not_the_one_checked(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        order = replace(order, applied=replace(order.applied, tree_id="0" * 40))
        assert refused(lambda: planned.publish(order)) is FailureCode.ARTIFACT_DIGEST_MISMATCH

    def test_by_a_policy_that_became_stricter(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        policy = PatchPolicy(protected_paths=("greeting.txt",))
        assert refused(lambda: planned.publish(order, policy=policy)) is FailureCode.PATCH_REFUSED

    def test_of_a_second_pull_request_finds_the_persons_one_with_our_commit(self, planned: Desk) -> None:
        order = planned.ready_to_publish()
        planned.guard.after(PullRequestIntent, opening(planned, "By hand."))
        result = result_of(planned.publish(order), Published)
        assert result.outcome is RunOutcome.PULL_REQUEST_UPDATED
        assert len(planned.forge.opened) == 1


def test_a_forge_that_is_down_is_told_apart(planned: Desk) -> None:
    order = planned.ready_to_publish()
    planned.forge.go_down()
    with pytest.raises(WorkflowError) as raised:
        planned.publish(order)
    assert raised.value.code is FailureCode.FORGE_UNAVAILABLE
