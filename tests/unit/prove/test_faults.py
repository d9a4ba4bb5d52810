"""A plan of faults can be had again from its seed, and leaves no stage out."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from moonmind.domain.states import STAGES, Stage
from moonmind.prove.faults import Act, FaultKind, StackName, draw_plan, kinds_of
from moonmind.prove.injecting import INJECTIONS
from moonmind.prove.ledger import Live
from moonmind.prove.outcome import Fault, Findings, Outcome, percentile


@pytest.mark.parametrize("stack", list(StackName))
class TestPlan:
    def test_the_same_seed_gives_the_same_plan(self, stack: StackName) -> None:
        plans = [draw_plan(stack, faults=60, seed=11) for _ in range(2)]
        assert plans[0] == plans[1]
        assert draw_plan(stack, faults=60, seed=12) != plans[0]

    def test_the_first_faults_reach_every_stage(self, stack: StackName) -> None:
        plan = draw_plan(stack, faults=6, seed=1)
        assert {kind.stage for kind in plan[: len(STAGES)]} == set(STAGES)

    def test_every_kind_comes_before_any_comes_again(self, stack: StackName) -> None:
        kinds = kinds_of(stack)
        plan = draw_plan(stack, faults=len(kinds), seed=2)
        assert {kind.name for kind in plan} == {kind.name for kind in kinds}

    def test_every_kind_can_be_injected(self, stack: StackName) -> None:
        assert {kind.act for kind in kinds_of(stack)} - INJECTIONS.keys() == set()


def outcome(*, hits: int, asked: int, findings: Findings) -> Outcome:
    live = [
        Live(UUID(int=1), STAGES[number % 5], 1, "holder", datetime(2026, 1, 1, tzinfo=UTC)) for number in range(hits)
    ]
    faults = [Fault(FaultKind(Act.KILL, "story", hit.stage), hit, recovery=1.0) for hit in live]
    return Outcome(StackName.EMBEDDED, 1, 10, asked, faults, findings, seconds=1.0)


class TestOutcome:
    def test_holds_when_nothing_was_found_and_all_faults_hit(self) -> None:
        assert outcome(hits=60, asked=60, findings=Findings(10, {"succeeded": 10})).holds

    @pytest.mark.parametrize("what", ["lost", "duplicate_pull_requests", "duplicate_submissions", "stale_writes"])
    def test_does_not_hold_when_something_was_found(self, what: str) -> None:
        assert not outcome(hits=60, asked=60, findings=Findings(10, {}, **{what: ["run 1"]})).holds  # type: ignore[arg-type]

    def test_does_not_hold_with_fewer_faults_than_asked_for(self) -> None:
        short = outcome(hits=59, asked=60, findings=Findings(10, {"succeeded": 10}))
        assert short.shortfalls == ["only 59 of 60 faults hit a live run"]
        assert not short.holds

    def test_does_not_hold_with_fewer_runs_than_asked_for(self) -> None:
        short = outcome(hits=60, asked=60, findings=Findings(9, {"succeeded": 9}))
        assert short.shortfalls == ["only 9 of 10 runs were accepted"]

    def test_does_not_hold_when_a_stage_was_hardly_hit(self) -> None:
        few = outcome(hits=4, asked=60, findings=Findings(10, {"succeeded": 10}))
        assert f"only 0 faults hit {Stage.FINALIZE}" in few.shortfalls


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (99, 4.0), (1, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == value


def test_without_values_there_is_no_percentile() -> None:
    assert percentile([], 50) is None
