"""Whose pull request it is decides between going on, stepping aside, and leaving a branch alone."""

import pytest

from moonmind.domain.markers import make_marker, render_marker
from moonmind.domain.outcomes import Ended
from moonmind.domain.ports import PullRequest, PullRequestState
from moonmind.stages.standing import in_flight, own_request
from tests.unit.stages.desk import RUN_ID

OURS = "c" * 40


def request(number: int, state: str, *, run: object = None, head_sha: str = "d" * 40) -> PullRequest:
    marker = make_marker(run=str(run), feature="specs/001-habits", phase="Phase 2: Story", base="main")
    body = "By hand." if run is None else f"Words.\n\n{render_marker(marker)}\n"
    url = f"https://forge.invalid/{number}"
    return PullRequest(number, url, PullRequestState(state), "moonmind/x/y", head_sha, "main", "Title", body)


class TestOwn:
    def test_is_the_one_that_names_the_run(self) -> None:
        mine = request(1, "open", run=RUN_ID)
        assert own_request([request(2, "open", run="another"), mine], RUN_ID, commit=OURS) == mine

    def test_is_a_persons_one_with_the_runs_commit(self) -> None:
        theirs = request(1, "open", head_sha=OURS)
        assert own_request([theirs], RUN_ID, commit=OURS) == theirs
        assert own_request([theirs], RUN_ID) is None

    def test_is_never_one_that_names_another_run(self) -> None:
        assert own_request([request(1, "open", run="another", head_sha=OURS)], RUN_ID, commit=OURS) is None

    @pytest.mark.parametrize(("states", "chosen"), [("closed open", "open"), ("closed merged", "merged")])
    def test_is_the_one_in_review_before_those_that_were_decided(self, states: str, chosen: str) -> None:
        both = [request(number, state, run=RUN_ID) for number, state in enumerate(states.split(), start=1)]
        for found in (both, both[::-1]):
            own = own_request(found, RUN_ID)
            assert own is not None
            assert own.state == chosen


class TestInFlight:
    def test_is_an_open_one_of_ours(self) -> None:
        ended = in_flight([request(3, "closed", run="third"), request(2, "open", run="another")])
        assert isinstance(ended, Ended)
        assert (ended.pull_request_number, ended.pull_request_url) == (2, "https://forge.invalid/2")

    @pytest.mark.parametrize(
        "found", [request(1, "merged", run="a"), request(1, "closed", run="a"), request(1, "open")]
    )
    def test_is_neither_a_decided_one_nor_a_persons(self, found: PullRequest) -> None:
        assert in_flight([found]) is None
