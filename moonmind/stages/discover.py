"""Find the next phase with open tasks, as it stands in the repository's base commit."""

import hashlib
import json
from collections.abc import Sequence

from moonmind.domain.branches import branch_name
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.features import Feature, resolve_feature
from moonmind.domain.orders import DiscoverOrder
from moonmind.domain.outcomes import Done, Ended, Outcome
from moonmind.domain.plan import (
    Plan,
    PlanPhase,
    PlanStatus,
    PlanTask,
    next_slice,
    plan_report,
    read_plan,
    select_phase,
    select_tasks,
)
from moonmind.domain.ports import (
    Forge,
    PullRequest,
    PullRequestState,
    Remote,
    RepositoryFacts,
    StageArtifacts,
    Workspace,
)
from moonmind.domain.pull_requests import find_marker
from moonmind.domain.results import Discovered, StoredArtifact
from moonmind.domain.states import RunOutcome, RunStatus

_TASKS_LIMIT = 64 * 1024 * 1024
_FEATURE_FILE_LIMIT = 64 * 1024
_MOST_BRANCHES = 100


def discover(order: DiscoverOrder, *, forge: Forge, workspace: Workspace, artifacts: StageArtifacts) -> Outcome:
    """
    Read the base commit and choose what to submit.

    Repeating is safe: it reads the forge and a mirror, and stores a snapshot under its own claim.
    """
    facts = _usable(forge.describe(order.repository))
    remote = forge.remote(facts, write=False)
    workspace.fetch(remote)
    base_branch = order.base_branch or facts.default_branch
    base_sha = _base_commit(order, workspace, remote, base_branch)
    feature, content = _read_feature(order, workspace, remote, base_sha)
    plan = read_plan(content)
    snapshot = _store_snapshot(artifacts, feature, base_sha, plan)
    phase = _choose_phase(order, plan)
    if phase is None:
        return _nothing_to_do(plan, feature)
    tasks = _choose_tasks(order, phase)
    if not tasks:
        return _no_work(RunOutcome.ALL_DONE, f"{phase.title!r} of {feature.directory} has no open task.")
    free = _free_branch(order, forge, facts, feature=feature, plan=plan, phase=phase, base_branch=base_branch)
    if isinstance(free, Ended):
        return free
    branch, suffix = free
    return Done(
        Discovered(
            repository=facts.repository,
            feature_key=feature.key,
            feature_dir=feature.directory,
            base_branch=base_branch,
            default_branch=facts.default_branch,
            base_sha=base_sha,
            tasks_path=feature.tasks_path,
            tasks_sha256=hashlib.sha256(content).hexdigest(),
            tasks_total=plan.tasks_total,
            tasks_done=plan.tasks_done,
            phase=phase.ref,
            tasks=tuple(task.ref for task in tasks),
            finished=tuple(task.ref for task in phase.finished_tasks),
            branch=branch,
            branch_suffix=suffix,
            documents=tuple(feature.documents),
            warnings=tuple(plan.warnings),
            snapshot=snapshot,
        )
    )


def _usable(facts: RepositoryFacts) -> RepositoryFacts:
    if facts.archived:
        raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, f"{facts.repository} is archived, so it is read-only.")
    return facts


def _base_commit(order: DiscoverOrder, workspace: Workspace, remote: Remote, branch: str) -> str:
    tip = workspace.branch_tip(remote, branch)
    if tip is not None:
        return tip
    if order.base_branch is None:
        detail = f"The default branch {branch!r} of {order.repository} has no commit."
        raise WorkflowError(FailureCode.REPOSITORY_EMPTY, detail)
    detail = f"{order.repository} has no branch {branch!r}."
    raise WorkflowError(FailureCode.BASE_BRANCH_NOT_FOUND, detail)


def _read_feature(order: DiscoverOrder, workspace: Workspace, remote: Remote, base_sha: str) -> tuple[Feature, bytes]:
    def read(path: str) -> bytes | None:
        return workspace.read_file(remote, base_sha, path, limit=_FEATURE_FILE_LIMIT)

    feature = resolve_feature(workspace.list_files(remote, base_sha), feature_key=order.feature_key, read=read)
    content = workspace.read_file(remote, base_sha, feature.tasks_path, limit=_TASKS_LIMIT)
    if content is None:
        detail = f"{feature.tasks_path} is not a regular file at {base_sha[:12]}."
        raise WorkflowError(FailureCode.TASKS_FILE_MISSING, detail)
    return feature, content


def _store_snapshot(artifacts: StageArtifacts, feature: Feature, base_sha: str, plan: Plan) -> StoredArtifact:
    snapshot = {"baseSha": base_sha, "tasksPath": feature.tasks_path, **plan_report(plan)}
    text = json.dumps(snapshot, indent=2, ensure_ascii=False)
    return artifacts.put("discovery_snapshot", "discovery.json", text.encode())


def _nothing_to_do(plan: Plan, feature: Feature) -> Ended:
    if plan.status is PlanStatus.UNREADABLE:
        return Ended.failed(FailureCode.TASKS_FILE_UNREADABLE, f"{feature.tasks_path}: {plan.reason}")
    if plan.status is PlanStatus.HELD:
        message = f"{feature.directory} has no open task; {plan.tasks_other} are marked otherwise and held."
        return _no_work(RunOutcome.HELD, message)
    return _no_work(RunOutcome.ALL_DONE, f"All {plan.tasks_total} tasks of {feature.directory} are done.")


def _no_work(outcome: RunOutcome, message: str) -> Ended:
    return Ended(RunStatus.NO_WORK, message, outcome=outcome)


def _choose_phase(order: DiscoverOrder, plan: Plan) -> PlanPhase | None:
    """Return the wanted phase or the next one; None where nothing can be submitted."""
    if order.wanted_phase is None or plan.status is PlanStatus.UNREADABLE:
        return plan.next_phase
    return select_phase(plan, order.wanted_phase)


def _choose_tasks(order: DiscoverOrder, phase: PlanPhase) -> Sequence[PlanTask]:
    if order.wanted_task_ids:
        return select_tasks(phase, order.wanted_task_ids)
    return next_slice(phase, order.max_tasks)


def _free_branch(
    order: DiscoverOrder,
    forge: Forge,
    facts: RepositoryFacts,
    *,
    feature: Feature,
    plan: Plan,
    phase: PlanPhase,
    base_branch: str,
) -> tuple[str, int] | Ended:
    """Return the first branch name that no decided pull request has used up, or say who is at the phase."""
    for suffix in range(1, _MOST_BRANCHES):
        branch = branch_name(
            feature.key,
            phase.title,
            other_titles=[other.title for other in plan.phases if other.line != phase.line],
            base_branch=base_branch,
            default_branch=facts.default_branch,
            suffix=suffix,
        )
        requests = forge.pull_requests(facts, head=branch)
        if not requests or any(_run_of(request) == str(order.run_id) for request in requests):
            return branch, suffix
        in_flight = next((request for request in requests if _is_ours_and_open(request)), None)
        if in_flight is not None:
            return phase_in_flight(in_flight)
    detail = f"{_MOST_BRANCHES} branches of {phase.title!r} have pull requests already."
    raise WorkflowError(FailureCode.PULL_REQUEST_REFUSED, detail)


def phase_in_flight(request: PullRequest) -> Ended:
    """End a run because an open pull request of ours already has the phase."""
    return Ended(
        RunStatus.NO_WORK,
        f"Pull request #{request.number} already has this phase and is still open.",
        outcome=RunOutcome.PHASE_IN_FLIGHT,
        pull_request_url=request.url,
        pull_request_number=request.number,
    )


def _is_ours_and_open(request: PullRequest) -> bool:
    return request.state is PullRequestState.OPEN and find_marker(request.body) is not None


def _run_of(request: PullRequest) -> str | None:
    marker = find_marker(request.body)
    return marker.run if marker else None
