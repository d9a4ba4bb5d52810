"""Look at a repository's base commit and choose what to submit, without writing anything."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from moonmind.domain.branches import branch_name
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.features import Feature, resolve_feature
from moonmind.domain.orders import DiscoverOrder
from moonmind.domain.outcomes import Ended
from moonmind.domain.plan import (
    Plan,
    PlanPhase,
    PlanStatus,
    PlanTask,
    TaskState,
    next_slice,
    read_plan,
    select_phase,
    select_tasks,
)
from moonmind.domain.ports import Forge, PullRequestState, Remote, RepositoryFacts, Workspace
from moonmind.domain.results import Discovered
from moonmind.domain.states import RunOutcome, RunStatus
from moonmind.stages.standing import MOST_BRANCHES, in_flight, own_request

TASKS_LIMIT = 64 * 1024 * 1024
_FEATURE_FILE_LIMIT = 64 * 1024
_MOST_NAMED = 20


@dataclass(frozen=True)
class Survey:
    """What stands in the base commit."""

    facts: RepositoryFacts
    base_branch: str
    base_sha: str
    feature: Feature
    plan: Plan
    content: bytes = field(repr=False)
    """The bytes of the task list."""


@dataclass(frozen=True)
class Selection:
    """The phase and the tasks of it that would be submitted together."""

    phase: PlanPhase
    tasks: Sequence[PlanTask]


def survey_base(order: DiscoverOrder, *, forge: Forge, workspace: Workspace) -> Survey:
    """
    Read the plan of the feature at the tip of the base branch.

    Writes nothing but the mirror, so repeating is safe. Raises what a repository can lack:
    `repository_empty`, `base_branch_not_found`, `feature_not_found`, `tasks_file_missing` and others.
    """
    facts = forge.describe(order.repository)
    if facts.archived:
        raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, f"{facts.repository} is archived, so it is read-only.")
    remote = forge.remote(facts, write=False)
    workspace.fetch(remote)
    base_branch = order.base_branch or facts.default_branch
    base_sha = _base_commit(order, workspace, remote, base_branch)
    feature, content = _read_feature(order, workspace, remote, base_sha)
    return Survey(facts, base_branch, base_sha, feature, read_plan(content), content)


def select_work(order: DiscoverOrder, survey: Survey) -> Selection | Ended:
    """
    Choose the wanted phase or the next one, and tasks of it; or say why there is none.

    Raises `phase_not_found` or `task_not_open` for a wish that does not fit the plan.
    """
    plan, feature = survey.plan, survey.feature
    if plan.status is PlanStatus.UNREADABLE:
        return Ended.failed(FailureCode.TASKS_FILE_UNREADABLE, f"{feature.tasks_path}: {plan.reason}")
    phase = plan.next_phase if order.wanted_phase is None else select_phase(plan, order.wanted_phase)
    if phase is None:
        if plan.status is PlanStatus.HELD:
            message = f"{feature.directory} has no open task; {plan.tasks_other} are marked otherwise and held."
            return _no_work(RunOutcome.HELD, message)
        return _no_work(RunOutcome.ALL_DONE, f"All {plan.tasks_total} tasks of {feature.directory} are done.")
    if order.wanted_task_ids:
        return Selection(phase, select_tasks(phase, order.wanted_task_ids))
    tasks = next_slice(phase, order.max_tasks)
    return Selection(phase, tasks) if tasks else _nothing_open(phase, feature)


def free_branch(order: DiscoverOrder, survey: Survey, phase: PlanPhase, *, forge: Forge) -> tuple[str, int] | Ended:
    """
    Return the first branch name of the phase that no pull request has used up, with its suffix.

    Names of merged and closed pull requests, and those that somebody else took, are passed over;
    an open one of another run of ours ends the run. Raises `pull_request_refused` when all are used up.
    """
    for suffix in range(1, MOST_BRANCHES):
        branch = _branch_of(survey, phase, suffix)
        requests = forge.pull_requests(survey.facts, head=branch)
        own = own_request(requests, order.run_id)
        if not requests or (own is not None and own.state is PullRequestState.OPEN):
            return branch, suffix
        flying = in_flight(requests)
        if flying is not None:
            return flying
    detail = f"{MOST_BRANCHES} branches of {phase.title!r} have pull requests already."
    raise WorkflowError(FailureCode.PULL_REQUEST_REFUSED, detail)


def discovered(survey: Survey, selection: Selection, *, branch: str, suffix: int) -> Discovered:
    """Return what the next stages need to know of the base commit."""
    return Discovered(
        repository=survey.facts.repository,
        feature_key=survey.feature.key,
        feature_dir=survey.feature.directory,
        base_branch=survey.base_branch,
        default_branch=survey.facts.default_branch,
        base_sha=survey.base_sha,
        tasks_path=survey.feature.tasks_path,
        tasks_sha256=hashlib.sha256(survey.content).hexdigest(),
        tasks_total=survey.plan.tasks_total,
        tasks_done=survey.plan.tasks_done,
        phase=selection.phase.ref,
        tasks=tuple(task.ref for task in selection.tasks),
        finished=tuple(task.ref for task in selection.phase.finished_tasks),
        branch=branch,
        branch_suffix=suffix,
        documents=tuple(survey.feature.documents),
        warnings=tuple(survey.plan.warnings),
    )


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
    content = workspace.read_file(remote, base_sha, feature.tasks_path, limit=TASKS_LIMIT)
    if content is None:
        detail = f"{feature.tasks_path} is not a regular file at {base_sha[:12]}."
        raise WorkflowError(FailureCode.TASKS_FILE_MISSING, detail)
    return feature, content


def _branch_of(survey: Survey, phase: PlanPhase, suffix: int) -> str:
    return branch_name(
        survey.feature.key,
        phase.title,
        other_titles=[other.title for other in survey.plan.phases if other.line != phase.line],
        base_branch=survey.base_branch,
        default_branch=survey.facts.default_branch,
        suffix=suffix,
    )


def _nothing_open(phase: PlanPhase, feature: Feature) -> Ended:
    held = [task.name for task in phase.tasks if task.state is TaskState.OTHER]
    if held:
        message = f"{phase.title!r} of {feature.directory} has no open task; held: {', '.join(held[:_MOST_NAMED])}."
        return _no_work(RunOutcome.HELD, message)
    return _no_work(RunOutcome.ALL_DONE, f"{phase.title!r} of {feature.directory} has no open task.")


def _no_work(outcome: RunOutcome, message: str) -> Ended:
    return Ended(RunStatus.NO_WORK, message, outcome=outcome)
