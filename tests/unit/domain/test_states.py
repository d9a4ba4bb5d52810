"""The legal ways of runs and stages, and what a message may claim."""

import pytest

from moonmind.domain.claims import Readiness, RunView, StageMessage, first_unfinished, readiness
from moonmind.domain.failures import CATALOGUE, FailureCode
from moonmind.domain.ids import new_id
from moonmind.domain.states import (
    IllegalTransitionError,
    RunStatus,
    Stage,
    StageStatus,
    check_run_transition,
    check_stage_transition,
)

RUNNING = RunView(RunStatus.RUNNING, epoch=1, cancel_requested=False)
MESSAGE = StageMessage(new_id(), Stage.SUBMIT, epoch=1)


def stages(**changed: StageStatus) -> dict[Stage, StageStatus]:
    start = dict.fromkeys(Stage, StageStatus.QUEUED) | {Stage.DISCOVER: StageStatus.SUCCEEDED}
    return start | {Stage(name): status for name, status in changed.items()}


class TestTransitions:
    @pytest.mark.parametrize("end", [RunStatus.SUCCEEDED, RunStatus.NO_WORK])
    def test_what_ended_well_never_changes(self, end: RunStatus) -> None:
        for wanted in RunStatus:
            with pytest.raises(IllegalTransitionError):
                check_run_transition(end, wanted)

    def test_only_failed_and_cancelled_runs_are_retried(self) -> None:
        allowed = [status for status in RunStatus if _is_allowed(status)]
        assert allowed == [RunStatus.FAILED, RunStatus.CANCELLED]

    def test_a_succeeded_stage_never_goes_back(self) -> None:
        for wanted in StageStatus:
            with pytest.raises(IllegalTransitionError):
                check_stage_transition(StageStatus.SUCCEEDED, wanted)

    def test_finished_is_what_has_no_way_on(self) -> None:
        finished = {status for status in StageStatus if status.is_finished}
        assert finished == {StageStatus.SUCCEEDED, StageStatus.FAILED, StageStatus.SKIPPED}


class TestReadiness:
    def test_a_queued_stage_after_succeeded_ones_is_ready(self) -> None:
        assert readiness(MESSAGE, RUNNING, stages()) is Readiness.READY

    @pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.RETRYING])
    def test_a_run_that_did_not_start_yet_is_active_too(self, status: RunStatus) -> None:
        assert readiness(MESSAGE, RunView(status, 1, cancel_requested=False), stages()) is Readiness.READY

    def test_a_finished_stage_lets_its_copy_pass(self) -> None:
        assert readiness(MESSAGE, RUNNING, stages(submit=StageStatus.SUCCEEDED)) is Readiness.DONE

    @pytest.mark.parametrize(
        ("run", "changed"),
        [
            (RunView(RunStatus.RUNNING, 2, cancel_requested=False), {}),
            (RunView(RunStatus.RUNNING, 2, cancel_requested=False), {"submit": StageStatus.SUCCEEDED}),
            (RunView(RunStatus.RUNNING, 1, cancel_requested=True), {}),
            (RunView(RunStatus.FAILED, 1, cancel_requested=False), {}),
            (RUNNING, {"submit": StageStatus.RUNNING}),
            (RUNNING, {"submit": StageStatus.WAITING}),
            (RUNNING, {"discover": StageStatus.QUEUED}),
            (RUNNING, {"discover": StageStatus.FAILED}),
        ],
    )
    def test_everything_else_is_not_ready(self, run: RunView, changed: dict[str, StageStatus]) -> None:
        assert readiness(MESSAGE, run, stages(**changed)) is Readiness.NOT_READY

    def test_the_chain_goes_on_at_the_first_stage_that_did_not_succeed(self) -> None:
        assert first_unfinished(stages()) is Stage.SUBMIT
        assert first_unfinished(dict.fromkeys(Stage, StageStatus.SUCCEEDED)) is None


class TestCatalogue:
    def test_every_remedy_names_a_next_step(self) -> None:
        assert set(CATALOGUE) == set(FailureCode)
        for failure in CATALOGUE.values():
            assert failure.title
            assert failure.cause.endswith(".")
            assert failure.remedy.endswith(".")

    def test_the_runs_id_stands_where_it_can_be_pasted(self) -> None:
        assert CATALOGUE[FailureCode.AGENT_FAILED].remedy_for("abc").count("abc") == 2


class TestIds:
    def test_ids_sort_by_age_and_are_version_seven(self) -> None:
        made = [new_id() for _ in range(50)]
        assert {one.version for one in made} == {7}
        assert len(set(made)) == 50


def _is_allowed(status: RunStatus) -> bool:
    try:
        check_run_transition(status, RunStatus.RETRYING)
    except IllegalTransitionError:
        return False
    return True
