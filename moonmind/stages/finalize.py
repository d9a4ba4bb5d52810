"""Close the run: give back what it held on this host."""

from moonmind.domain.orders import FinalizeOrder
from moonmind.domain.outcomes import Done, Outcome
from moonmind.domain.ports import Workspace
from moonmind.domain.results import Finalized


def finalize(order: FinalizeOrder, *, workspace: Workspace) -> Outcome:
    """
    Remove the agent's trees and say how the run came out.

    Repeating is safe: a tree that is gone already stays gone.
    """
    for key in order.workspace_keys:
        workspace.drop_agent_tree(key)
    return Done(Finalized(outcome=order.published.outcome))
