"""Land the patch: one deterministic commit, one branch, one pull request, whatever was tried before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from moonmind.domain.branches import next_branch
from moonmind.domain.commits import commit_message
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.orders import PublishOrder
from moonmind.domain.outcomes import Done, Ended, Outcome
from moonmind.domain.patch_policy import check_changes
from moonmind.domain.ports import (
    CommitOrder,
    CredentialsGate,
    EffectGuard,
    Forge,
    PullRequest,
    PullRequestIntent,
    PullRequestState,
    PushIntent,
    PushReport,
    Remote,
    RepositoryFacts,
    StageArtifacts,
    Workspace,
)
from moonmind.domain.results import Published, TaskRef
from moonmind.domain.states import RunOutcome
from moonmind.domain.ticking import ticked_elsewhere
from moonmind.stages.apply import repository_policy
from moonmind.stages.pull_request import keep_response, open_or_update
from moonmind.stages.standing import MOST_BRANCHES, in_flight, own_request
from moonmind.stages.survey import TASKS_LIMIT

AUTHOR_NAME = "MoonMind"
AUTHOR_EMAIL = "moonmind@users.noreply.invalid"


@dataclass(frozen=True)
class _Site:
    """Where this run publishes."""

    forge: Forge
    workspace: Workspace
    artifacts: StageArtifacts
    facts: RepositoryFacts
    remote: Remote


@dataclass(frozen=True)
class _Place:
    """The branch to publish on, and the pull request that the run has there already."""

    branch: str
    suffix: int
    own: PullRequest | None


def publish(
    order: PublishOrder,
    *,
    forge: Forge,
    workspace: Workspace,
    artifacts: StageArtifacts,
    credentials: CredentialsGate,
    guard: EffectGuard,
) -> Outcome:
    """
    Push the branch, then open its pull request or refresh the one it has.

    Repeating this after a crash is safe: commit, branch and marker come from the run, so a
    second delivery finds what the first one left. What people did meanwhile stands: a closed
    pull request stays closed, a merged one is success, a moved branch stops the run.
    """
    credentials.require(forge)
    facts = forge.describe(order.discovered.repository)
    site = _Site(forge, workspace, artifacts, facts, forge.remote(facts, write=True))
    workspace.fetch(site.remote)
    commit = _commit(order, site)
    place = _find_place(order, site, commit)
    if isinstance(place, Ended):
        return place
    order = replace(order, discovered=replace(order.discovered, branch=place.branch, branch_suffix=place.suffix))
    if place.branch in {facts.default_branch, order.discovered.base_branch}:
        raise WorkflowError(FailureCode.BRANCH_PROTECTED, f"{place.branch!r} is a branch that others build on.")
    if place.own is not None and place.own.state is not PullRequestState.OPEN:
        return _decided(place.own, order, site)
    return _land(order, site, guard, own=place.own, commit=commit)


def _land(order: PublishOrder, site: _Site, guard: EffectGuard, *, own: PullRequest | None, commit: str) -> Outcome:
    branch = order.discovered.branch
    tip = site.workspace.remote_tip(site.remote, branch)
    # With our commit there, only the pull request is missing, and no branch is left without a word.
    landed = _landed(order, site) if own is None and tip != commit else ()
    if landed:
        names = ", ".join(task.id or f"line {task.line}" for task in landed)
        detail = f"{order.discovered.base_branch} has {names} ticked since this run began."
        return Ended.failed(FailureCode.PHASE_ALREADY_LANDED, detail)
    _refuse_moved(order, tip, commit)
    guard.begin(PushIntent(branch, commit))
    report = _push(order, site, commit=commit, expected=tip)
    if not isinstance(report, PushReport):
        return report
    guard.begin(PullRequestIntent(branch))
    landing = open_or_update(
        order, forge=site.forge, facts=site.facts, own=own, commit=commit, artifacts=site.artifacts
    )
    if landing.request.state is not PullRequestState.OPEN:
        return _decided(landing.request, order, site)
    outcome = RunOutcome.PULL_REQUEST_UPDATED if landing.updated else RunOutcome.PULL_REQUEST_CREATED
    return _published(landing.request, order, site, commit, outcome)


def _commit(order: PublishOrder, site: _Site) -> str:
    """Make the commit again from the stored patch: the same run and patch give the same id."""
    found = order.discovered
    policy = repository_policy(order.policy, site.workspace, site.remote, found.base_sha)
    with site.workspace.clean_tree(site.remote, found.base_sha) as tree:
        tree.apply(site.artifacts.read(order.applied.final_patch))
        check_changes(tuple(tree.changes()), policy)
        if tree.tree_id() != order.applied.tree_id:
            detail = "The stored patch no longer gives the tree that was checked."
            raise WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, detail)
        message = commit_message(found, order.applied, run_id=order.run_id)
        return tree.commit(CommitOrder(message, AUTHOR_NAME, AUTHOR_EMAIL, order.created_at))


def _find_place(order: PublishOrder, site: _Site, commit: str) -> _Place | Ended:
    """
    Return the branch that discover chose, or the next one whose name nobody used up meanwhile.

    The run's own pull request is looked for first, in all states. One that a person closed
    stays closed: each answer of an operator to that, a retry, moves on by one name.
    """
    branch, suffix = order.discovered.branch, order.discovered.branch_suffix
    answers = order.closings_answered
    for _ in range(MOST_BRANCHES):
        requests = site.forge.pull_requests(site.facts, head=branch)
        own = own_request(requests, order.run_id, commit=commit)
        if own is not None and (own.state is not PullRequestState.CLOSED or answers == 0):
            return _Place(branch, suffix, own)
        flying = in_flight(requests) if own is None else None
        if flying is not None:
            return flying
        if not requests:
            return _Place(branch, suffix, None)
        answers -= own is not None
        branch, suffix = next_branch(branch, suffix), suffix + 1
    detail = f"{MOST_BRANCHES} branches of {order.discovered.phase.title!r} have pull requests already."
    raise WorkflowError(FailureCode.PULL_REQUEST_REFUSED, detail)


def _landed(order: PublishOrder, site: _Site) -> Sequence[TaskRef]:
    """Return the submitted tasks that somebody else ticked on the base branch."""
    found = order.discovered
    tip = site.workspace.branch_tip(site.remote, found.base_branch)
    if tip is None:
        detail = f"The base branch {found.base_branch!r} is gone."
        raise WorkflowError(FailureCode.BASE_BRANCH_NOT_FOUND, detail)
    if tip == found.base_sha:
        return ()
    base = site.workspace.read_file(site.remote, found.base_sha, found.tasks_path, limit=TASKS_LIMIT)
    now = site.workspace.read_file(site.remote, tip, found.tasks_path, limit=TASKS_LIMIT)
    if base is None or now is None:
        return ()
    lines = ticked_elsewhere(base, now, found.tasks)
    return tuple(task for task in found.tasks if task.line in lines)


def _refuse_moved(order: PublishOrder, tip: str | None, commit: str) -> None:
    branch = order.discovered.branch
    if tip is None or tip == commit or tip in order.pushed.get(branch, frozenset()):
        return
    detail = f"{branch} is at {tip[:12]} on the forge, which this service did not push."
    raise WorkflowError(FailureCode.BRANCH_MOVED, detail)


def _push(order: PublishOrder, site: _Site, *, commit: str, expected: str | None) -> PushReport | Outcome:
    """Push; where the branch moved at the last moment, say what moved it if a pull request tells."""
    branch = order.discovered.branch
    try:
        report = site.workspace.push(site.remote, branch=branch, commit=commit, expected=expected)
    except WorkflowError as error:
        site.artifacts.put("gh_push_log", "push.log", str(error.facts.get("log", error.detail)).encode())
        if error.code is not FailureCode.BRANCH_MOVED:
            raise
        requests = site.forge.pull_requests(site.facts, head=branch)
        own = own_request(requests, order.run_id, commit=commit)
        if own is not None and own.state is not PullRequestState.OPEN:
            return _decided(own, order, site)
        flying = in_flight(requests) if own is None else None
        if flying is None:
            raise
        return flying
    site.artifacts.put("gh_push_log", "push.log", report.log.encode())
    return report


def _decided(request: PullRequest, order: PublishOrder, site: _Site) -> Outcome:
    """Accept what a person decided about the run's pull request."""
    if request.state is PullRequestState.MERGED:
        return _published(request, order, site, request.head_sha, RunOutcome.PULL_REQUEST_MERGED)
    keep_response(site.artifacts, request)
    return Ended.failed(
        FailureCode.PULL_REQUEST_CLOSED, f"Pull request #{request.number} of this run was closed: {request.url}"
    )


def _published(request: PullRequest, order: PublishOrder, site: _Site, commit: str, outcome: RunOutcome) -> Done:
    keep_response(site.artifacts, request)
    return Done(
        Published(
            branch=order.discovered.branch,
            commit_sha=commit,
            pull_request_number=request.number,
            pull_request_url=request.url,
            outcome=outcome,
        )
    )
