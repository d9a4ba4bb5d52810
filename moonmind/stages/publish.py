"""Land the patch: one deterministic commit, one branch, one pull request, whatever was tried before."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

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
    PullRequestDraft,
    PullRequestIntent,
    PullRequestState,
    PushIntent,
    PushReport,
    Remote,
    RepositoryFacts,
    StageArtifacts,
    Workspace,
)
from moonmind.domain.pull_requests import RunFacts, find_marker, marker_of, pull_request_body, pull_request_title
from moonmind.domain.results import Published, TaskRef
from moonmind.domain.states import RunOutcome
from moonmind.domain.ticking import ticked_elsewhere
from moonmind.stages.apply import TASKS_LIMIT, repository_policy
from moonmind.stages.discover import phase_in_flight

AUTHOR_NAME = "MoonMind"
AUTHOR_EMAIL = "moonmind@users.noreply.invalid"


@dataclass(frozen=True)
class _Site:
    """Where this run publishes."""

    forge: Forge
    workspace: Workspace
    facts: RepositoryFacts
    remote: Remote


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
    site = _Site(forge, workspace, facts, forge.remote(facts, write=True))
    workspace.fetch(site.remote)
    order = _on_open_branch(order, site)
    branch = order.discovered.branch
    if branch in {facts.default_branch, order.discovered.base_branch}:
        raise WorkflowError(FailureCode.BRANCH_PROTECTED, f"{branch!r} is a branch that others build on.")

    commit = _commit(order, site, artifacts)
    requests = forge.pull_requests(facts, head=branch)
    own = _own(requests, order, commit)
    if own is not None and own.state is not PullRequestState.OPEN:
        return _decided(own, order, commit)
    if own is None:
        overtaken = _overtaken(requests, order, site)
        if overtaken is not None:
            return overtaken

    expected = _expected_tip(order, site, commit)
    guard.begin(PushIntent(branch, commit))
    report = _push(site, artifacts, branch=branch, commit=commit, expected=expected)
    guard.begin(PullRequestIntent(branch))
    request = _open_or_update(order, site, own, commit)
    if request.state is not PullRequestState.OPEN:
        return _decided(request, order, commit)
    return _published(order, request, report, artifacts, updated=own is not None)


def _on_open_branch(order: PublishOrder, site: _Site) -> PublishOrder:
    """
    Move on to the next branch name when a person closed this run's pull request and an operator wants it again.

    A closed pull request is never reopened, and its branch stays as it is.
    """
    if not order.after_closed:
        return order
    found = order.discovered
    while any(
        request.state is PullRequestState.CLOSED and _run_of(request) == str(order.run_id)
        for request in site.forge.pull_requests(site.facts, head=found.branch)
    ):
        branch = next_branch(found.branch, found.branch_suffix)
        found = replace(found, branch=branch, branch_suffix=found.branch_suffix + 1)
    return replace(order, discovered=found)


def _commit(order: PublishOrder, site: _Site, artifacts: StageArtifacts) -> str:
    """Make the commit again from the stored patch: the same run and patch give the same id."""
    found = order.discovered
    policy = repository_policy(order.policy, site.workspace, site.remote, found.base_sha)
    with site.workspace.clean_tree(site.remote, found.base_sha) as tree:
        tree.apply(artifacts.read(order.applied.final_patch))
        check_changes(tuple(tree.changes()), policy)
        if tree.tree_id() != order.applied.tree_id:
            detail = "The stored patch no longer gives the tree that was checked."
            raise WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, detail)
        message = commit_message(found, order.applied, run_id=order.run_id)
        return tree.commit(CommitOrder(message, AUTHOR_NAME, AUTHOR_EMAIL, order.created_at))


def _own(requests: Sequence[PullRequest], order: PublishOrder, commit: str) -> PullRequest | None:
    """Return this run's pull request: by the run in its marker, or by our commit as its head."""
    by_marker = [request for request in requests if _run_of(request) == str(order.run_id)]
    by_commit = [request for request in requests if request.head_sha == commit]
    return next(iter(by_marker + by_commit), None)


def _run_of(request: PullRequest) -> str | None:
    marker = find_marker(request.body)
    return marker.run if marker else None


def _decided(request: PullRequest, order: PublishOrder, commit: str) -> Outcome:
    if request.state is PullRequestState.MERGED:
        return Done(
            Published(
                branch=order.discovered.branch,
                commit_sha=commit,
                pull_request_number=request.number,
                pull_request_url=request.url,
                outcome=RunOutcome.PULL_REQUEST_MERGED,
            )
        )
    return Ended.failed(
        FailureCode.PULL_REQUEST_CLOSED, f"Pull request #{request.number} of this run was closed: {request.url}"
    )


def _overtaken(requests: Sequence[PullRequest], order: PublishOrder, site: _Site) -> Ended | None:
    """Say whether somebody else has the phase: a run with an open pull request, or the base branch itself."""
    ours = marker_of(order.discovered, order.run_id)
    for request in requests:
        marker = find_marker(request.body)
        if request.state is PullRequestState.OPEN and marker is not None and marker.is_same_work(ours):
            return phase_in_flight(request)
    landed = _landed(order, site)
    if landed:
        names = ", ".join(task.id or f"line {task.line}" for task in landed)
        detail = f"{order.discovered.base_branch} has {names} ticked since this run began."
        return Ended.failed(FailureCode.PHASE_ALREADY_LANDED, detail)
    return None


def _landed(order: PublishOrder, site: _Site) -> Sequence[TaskRef]:
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


def _expected_tip(order: PublishOrder, site: _Site, commit: str) -> str | None:
    """Return what the branch must still be when we push; raises `branch_moved` for commits of others."""
    tip = site.workspace.remote_tip(site.remote, order.discovered.branch)
    if tip is None or tip == commit or tip in order.pushed.get(order.discovered.branch, frozenset()):
        return tip
    detail = f"{order.discovered.branch} is at {tip[:12]} on the forge, which this service did not push."
    raise WorkflowError(FailureCode.BRANCH_MOVED, detail)


def _push(site: _Site, artifacts: StageArtifacts, *, branch: str, commit: str, expected: str | None) -> PushReport:
    try:
        report = site.workspace.push(site.remote, branch=branch, commit=commit, expected=expected)
    except WorkflowError as error:
        artifacts.put("gh_push_log", "push.log", str(error.facts.get("log", error.detail)).encode())
        raise
    artifacts.put("gh_push_log", "push.log", report.log.encode())
    return report


def _open_or_update(order: PublishOrder, site: _Site, own: PullRequest | None, commit: str) -> PullRequest:
    draft = PullRequestDraft(
        head=order.discovered.branch,
        base=order.discovered.base_branch,
        title=pull_request_title(order.discovered),
        body=pull_request_body(
            order.discovered,
            order.submitted,
            order.applied,
            facts=RunFacts(order.run_id, order.run_url, order.requested_by, order.notes, site.facts.web_url),
        ),
    )
    if own is not None:
        return _updated(site, own, draft)
    try:
        return site.forge.open_pull_request(site.facts, draft)
    except WorkflowError as error:
        if error.code is not FailureCode.PULL_REQUEST_REFUSED:
            raise
        # Another delivery may have opened it after we looked; only a second look can tell.
        found = _own(site.forge.pull_requests(site.facts, head=draft.head), order, commit)
        if found is None:
            raise
        return _updated(site, found, draft)


def _updated(site: _Site, request: PullRequest, draft: PullRequestDraft) -> PullRequest:
    if request.state is not PullRequestState.OPEN or (request.title, request.body) == (draft.title, draft.body):
        return request
    return site.forge.update_pull_request(site.facts, request.number, draft)


def _published(
    order: PublishOrder, request: PullRequest, report: PushReport, artifacts: StageArtifacts, *, updated: bool
) -> Done:
    response = json.dumps(asdict(request), indent=2, ensure_ascii=False)
    artifacts.put("gh_pr_response", "pull_request.json", response.encode())
    return Done(
        Published(
            branch=order.discovered.branch,
            commit_sha=report.commit_sha,
            pull_request_number=request.number,
            pull_request_url=request.url,
            outcome=RunOutcome.PULL_REQUEST_UPDATED if updated else RunOutcome.PULL_REQUEST_CREATED,
        )
    )
