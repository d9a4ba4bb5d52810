"""Discovery finds the next phase in the base commit, and a branch that nobody has used up."""

import json

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Ended, Outcome
from moonmind.domain.results import Discovered, TaskRef
from moonmind.domain.states import RunOutcome, RunStatus
from tests.repositories import TASKS
from tests.unit.stages.desk import BRANCH, REPOSITORY, RUN_ID, TASKS_PATH, Desk, failure, refused, result_of

SECTIONS = """# Tasks

## Phase 1: Story

### Tests

- [ ] T001 First
- [ ] T002 Second

### Code

- [ ] T003 Third
- [ ] T004 Fourth
"""


def ids(tasks: tuple[TaskRef, ...]) -> list[str | None]:
    return [task.id for task in tasks]


def no_work(outcome: Outcome) -> RunOutcome | None:
    assert isinstance(outcome, Ended)
    assert (outcome.status, outcome.code) == (RunStatus.NO_WORK, None)
    assert outcome.message
    return outcome.outcome


class TestNextPhase:
    def test_is_the_first_with_an_open_task_in_the_base_commit(self, desk: Desk) -> None:
        sha = desk.plan()
        found = result_of(desk.discover(), Discovered)
        assert (found.base_branch, found.base_sha) == ("main", sha)
        assert (found.phase.title, ids(found.tasks)) == ("Phase 2: Story", ["T002", "T003"])
        assert (found.feature_key, found.tasks_path) == ("001-habits", TASKS_PATH)
        assert (found.tasks_total, found.tasks_done) == (4, 1)
        assert (found.branch, found.branch_suffix) == (BRANCH, 1)

    def test_tells_which_of_its_tasks_are_done(self, desk: Desk) -> None:
        desk.plan(TASKS.replace("[ ] T002", "[x] T002"))
        found = result_of(desk.discover(), Discovered)
        assert (ids(found.finished), ids(found.tasks)) == (["T002"], ["T003"])

    def test_leaves_a_snapshot_of_the_whole_plan(self, planned: Desk) -> None:
        found = result_of(planned.discover(), Discovered)
        snapshot = json.loads(planned.text("discovery.json"))
        assert (snapshot["baseSha"], snapshot["tasks_total"]) == (found.base_sha, 4)
        assert planned.stored("discovery_snapshot") == [found.snapshot]

    def test_again_gives_the_same(self, planned: Desk) -> None:
        first, second = (result_of(planned.discover(), Discovered) for _ in range(2))
        assert (first.branch, first.base_sha, first.tasks) == (second.branch, second.base_sha, second.tasks)

    def test_takes_as_many_whole_sections_as_fit(self, desk: Desk) -> None:
        desk.plan(SECTIONS)
        assert ids(result_of(desk.discover(max_tasks=3), Discovered).tasks) == ["T001", "T002"]
        assert ids(result_of(desk.discover(max_tasks=1), Discovered).tasks) == ["T001"]


class TestWish:
    def test_for_a_phase_is_granted(self, planned: Desk) -> None:
        found = result_of(planned.discover(wanted_phase="Phase 3: Polish"), Discovered)
        assert (found.phase.title, ids(found.tasks)) == ("Phase 3: Polish", ["T004"])

    def test_for_tasks_narrows_the_phase(self, planned: Desk) -> None:
        assert ids(result_of(planned.discover(wanted_task_ids=("T003",)), Discovered).tasks) == ["T003"]

    def test_for_a_branch_reads_that_branch_and_names_it_in_ours(self, planned: Desk) -> None:
        sha = planned.commit("develop", {TASKS_PATH: TASKS.replace("[ ] T002", "[X] T002").encode()})
        found = result_of(planned.discover(base_branch="develop"), Discovered)
        assert (found.base_sha, ids(found.tasks)) == (sha, ["T003"])
        assert found.branch == "moonmind/001-habits@develop/phase-2-story"

    @pytest.mark.parametrize(
        ("wish", "code"),
        [
            ({"wanted_phase": "Phase 9"}, FailureCode.PHASE_NOT_FOUND),
            ({"wanted_task_ids": ("T001",)}, FailureCode.TASK_NOT_OPEN),
            ({"wanted_phase": "1", "wanted_task_ids": ("T001",)}, FailureCode.TASK_NOT_OPEN),
            ({"base_branch": "gone"}, FailureCode.BASE_BRANCH_NOT_FOUND),
            ({"feature_key": "009-other"}, FailureCode.FEATURE_NOT_FOUND),
            ({"repository": "octo/absent"}, FailureCode.REPOSITORY_NOT_FOUND),
        ],
    )
    def test_that_does_not_fit_is_refused(self, planned: Desk, wish: dict[str, object], code: FailureCode) -> None:
        assert refused(lambda: planned.discover(**wish)) is code


class TestNothingToDo:
    @pytest.mark.parametrize(
        ("mark", "outcome"), [("X", RunOutcome.ALL_DONE), ("~", RunOutcome.HELD), ("-", RunOutcome.ALL_DONE)]
    )
    def test_in_the_whole_plan(self, desk: Desk, mark: str, outcome: RunOutcome) -> None:
        desk.plan(TASKS.replace("[ ]", f"[{mark}]"))
        assert no_work(desk.discover()) is outcome
        assert desk.stored("discovery_snapshot")

    @pytest.mark.parametrize(("mark", "outcome"), [("X", RunOutcome.ALL_DONE), ("~", RunOutcome.HELD)])
    def test_in_the_wanted_phase_although_others_are_open(self, desk: Desk, mark: str, outcome: RunOutcome) -> None:
        desk.plan(TASKS.replace("[ ] T004", f"[{mark}] T004"))
        assert no_work(desk.discover(wanted_phase="3")) is outcome

    def test_is_not_what_an_unreadable_file_means(self, desk: Desk) -> None:
        desk.plan("# Tasks\n\nSoon.\n")
        assert failure(desk.discover()) is FailureCode.TASKS_FILE_UNREADABLE
        assert failure(desk.discover(wanted_phase="2")) is FailureCode.TASKS_FILE_UNREADABLE


class TestRepository:
    def test_without_a_commit_is_empty(self, desk: Desk) -> None:
        desk.workspace.add_repository(REPOSITORY)
        desk.forge.add_repository(REPOSITORY)
        assert refused(desk.discover) is FailureCode.REPOSITORY_EMPTY

    def test_that_is_archived_takes_no_work(self, desk: Desk) -> None:
        desk.forge.add_repository(REPOSITORY, archived=True)
        assert refused(desk.discover) is FailureCode.FORGE_UNAVAILABLE

    def test_without_a_task_list_says_so(self, planned: Desk) -> None:
        planned.commit("main", {TASKS_PATH: None, "specs/001-habits/spec.md": b"# Spec\n"})
        assert refused(planned.discover) is FailureCode.TASKS_FILE_MISSING


class TestBranch:
    def test_with_an_open_pull_request_of_another_run_is_in_flight(self, planned: Desk) -> None:
        request = planned.request()
        ended = planned.discover()
        assert no_work(ended) is RunOutcome.PHASE_IN_FLIGHT
        assert isinstance(ended, Ended)
        assert (ended.pull_request_url, ended.pull_request_number) == (request.url, request.number)

    def test_is_in_flight_although_the_title_gained_an_aside(self, planned: Desk) -> None:
        planned.request(phase="Phase 2: Story (Priority: P1)")
        assert no_work(planned.discover()) is RunOutcome.PHASE_IN_FLIGHT

    @pytest.mark.parametrize("decide", ["merge", "close"])
    def test_of_a_decided_pull_request_is_used_up(self, planned: Desk, decide: str) -> None:
        number = planned.request().number
        planned.forge.merge(REPOSITORY, number) if decide == "merge" else planned.forge.close(REPOSITORY, number)
        found = result_of(planned.discover(), Discovered)
        assert (found.branch, found.branch_suffix) == (f"{BRANCH}-2", 2)

    def test_that_a_person_took_is_left_to_them(self, planned: Desk) -> None:
        planned.request(run=None)
        assert result_of(planned.discover(), Discovered).branch == f"{BRANCH}-2"

    def test_with_this_runs_open_pull_request_is_used_again(self, planned: Desk) -> None:
        planned.forge.close(REPOSITORY, planned.request(run=str(RUN_ID)).number)
        planned.request(f"{BRANCH}-2", run=str(RUN_ID))
        found = result_of(planned.discover(), Discovered)
        assert (found.branch, found.branch_suffix) == (f"{BRANCH}-2", 2)

    @pytest.mark.parametrize("decide", ["merge", "close"])
    def test_of_this_runs_decided_pull_request_is_used_up_too(self, planned: Desk, decide: str) -> None:
        """Once a restart kept the branch of its merged pull request, and its new work never left the house."""
        number = planned.request(run=str(RUN_ID)).number
        planned.forge.merge(REPOSITORY, number) if decide == "merge" else planned.forge.close(REPOSITORY, number)
        assert result_of(planned.discover(), Discovered).branch == f"{BRANCH}-2"
