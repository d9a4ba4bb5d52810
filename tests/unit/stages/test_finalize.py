"""Finalizing gives back what the run held on this host."""

from moonmind.domain.orders import FinalizeOrder
from moonmind.domain.results import Finalized, Published
from moonmind.domain.states import RunOutcome
from moonmind.stages.finalize import finalize
from tests.unit.stages.desk import Desk, result_of


def test_the_trees_of_the_run_go_and_the_outcome_stays(planned: Desk) -> None:
    published = result_of(planned.publish(planned.ready_to_publish()), Published)
    trees = planned.folder / "trees"
    (trees / "mm-1").mkdir(parents=True)
    (trees / "of-another-run").mkdir()
    order = FinalizeOrder(planned.run_id, published, ["mm-1", "mm-gone"])

    first, second = (result_of(finalize(order, workspace=planned.workspace), Finalized) for _ in range(2))

    assert first == second == Finalized(RunOutcome.PULL_REQUEST_CREATED)
    assert [tree.name for tree in trees.iterdir()] == ["of-another-run"]
