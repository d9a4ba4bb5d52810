"""Tell what the pull requests of a branch mean for a run: its own, somebody else's, or a name used up."""

from collections.abc import Sequence
from uuid import UUID

from moonmind.domain.outcomes import Ended
from moonmind.domain.ports import PullRequest, PullRequestState
from moonmind.domain.pull_requests import find_marker
from moonmind.domain.states import RunOutcome, RunStatus

MOST_BRANCHES = 100
"""How many names of a phase are looked at; more closed pull requests than this want a person."""
# What is in review comes first; of two that were decided, the good news.
_ORDER = (PullRequestState.OPEN, PullRequestState.MERGED, PullRequestState.CLOSED)


def own_request(requests: Sequence[PullRequest], run_id: UUID, *, commit: str | None = None) -> PullRequest | None:
    """
    Return a run's own pull request: by the run in its marker, or by the run's commit as its head.

    The commit decides only where no marker names another run.
    """
    own = [request for request in requests if _is_own(request, str(run_id), commit)]
    return min(own, key=lambda request: _ORDER.index(request.state), default=None)


def in_flight(requests: Sequence[PullRequest]) -> Ended | None:
    """
    End the run when an open pull request of ours already has the phase of this branch.

    The branch is the phase's: a title that changed a little gives another marker, but the same name.
    """
    flying = next((request for request in requests if _is_ours_and_open(request)), None)
    if flying is None:
        return None
    return Ended(
        RunStatus.NO_WORK,
        f"Pull request #{flying.number} already has this phase and is still open.",
        outcome=RunOutcome.PHASE_IN_FLIGHT,
        pull_request_url=flying.url,
        pull_request_number=flying.number,
    )


def _is_own(request: PullRequest, run: str, commit: str | None) -> bool:
    marker = find_marker(request.body)
    return marker.run == run if marker is not None else request.head_sha == commit


def _is_ours_and_open(request: PullRequest) -> bool:
    return request.state is PullRequestState.OPEN and find_marker(request.body) is not None
