"""Say what a run would do, by the very steps of discovery, without recording or submitting anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from moonmind.domain.errors import WorkflowError
from moonmind.domain.orders import DiscoverOrder
from moonmind.domain.outcomes import Ended
from moonmind.domain.plan import PlanStatus
from moonmind.domain.ports import Agent, Checked, Forge, Verdict, Workspace
from moonmind.domain.prompts import render_prompt
from moonmind.domain.results import PhaseRef, TaskRef
from moonmind.domain.states import RunOutcome
from moonmind.stages.survey import Selection, Survey, discovered, free_branch, select_work, survey_base
from moonmind.workflows.speckit_celery.repositories import NewRun

# No run has this id, so no pull request counts as the preview's own.
_NO_RUN = UUID(int=0)
_MARKER = "mm-preview"


@dataclass(frozen=True)
class PullRequestRef:
    """A pull request that stands in the way."""

    number: int | None
    url: str


@dataclass(frozen=True)
class Preview:
    """
    What discovery finds now, and what would be handed to the agent.

    Phase and tasks are there as soon as they are chosen; branch and prompt only when a run would
    get to its agent. `outcome` and `message` say why it would not.
    """

    repository: str
    feature_key: str
    feature_dir: str
    base_branch: str
    base_sha: str
    tasks_total: int
    tasks_done: int
    warnings: tuple[str, ...]
    agent: str
    credentials: tuple[Verdict, ...]
    phase: PhaseRef | None = None
    tasks: tuple[TaskRef, ...] = ()
    branch_name: str | None = None
    prompt: str | None = None
    outcome: RunOutcome | None = None
    message: str | None = None
    pull_request: PullRequestRef | None = None

    @property
    def status(self) -> str:
        """`work` when a run would submit something, else `held` or `no_work`, in the words of `moonmind tasks`."""
        if self.outcome is None:
            return PlanStatus.WORK.value
        return (PlanStatus.HELD if self.outcome is RunOutcome.HELD else PlanStatus.NO_WORK).value


@dataclass(frozen=True)
class _Finding:
    """How far the steps of discovery come, and what ends them early."""

    selection: Selection | None = None
    branch: str | None = None
    prompt: str | None = None
    ended: Ended | None = None


def preview_spec_workflow_run(
    order: NewRun, *, forge: Forge, workspace: Workspace, agents: Mapping[str, Agent], max_tasks: int
) -> Preview:
    """
    Look at the repository as discovery would; only the mirror is refreshed, so repeating is safe.

    Raises what would end the run as failed, such as `feature_not_found` or `tasks_file_unreadable`.
    Credentials that fail are part of the answer instead.
    """
    discovery = _discovery(order, max_tasks)
    survey = survey_base(discovery, forge=forge, workspace=workspace)
    finding = _find(order, discovery, survey, forge)
    ended, selection = finding.ended, finding.selection
    return Preview(
        repository=survey.facts.repository,
        feature_key=survey.feature.key,
        feature_dir=survey.feature.directory,
        base_branch=survey.base_branch,
        base_sha=survey.base_sha,
        tasks_total=survey.plan.tasks_total,
        tasks_done=survey.plan.tasks_done,
        warnings=tuple(survey.plan.warnings),
        agent=order.agent,
        credentials=tuple(subject.check() for subject in _subjects(order, forge, agents)),
        phase=selection.phase.ref if selection else None,
        tasks=tuple(task.ref for task in selection.tasks) if selection else (),
        branch_name=finding.branch,
        prompt=finding.prompt,
        outcome=ended.outcome if ended else None,
        message=ended.message if ended else None,
        pull_request=_pull_request(ended),
    )


def _find(order: NewRun, discovery: DiscoverOrder, survey: Survey, forge: Forge) -> _Finding:
    selection = select_work(discovery, survey)
    if isinstance(selection, Ended):
        return _Finding(ended=_well(selection))
    free = free_branch(discovery, survey, selection.phase, forge=forge)
    if isinstance(free, Ended):
        return _Finding(selection, ended=_well(free))
    branch, suffix = free
    found = discovered(survey, selection, branch=branch, suffix=suffix)
    prompt = render_prompt(found, marker=_MARKER, notes=order.notes, retry_reason=None)
    return _Finding(selection, branch, prompt)


def _well(ended: Ended) -> Ended:
    if ended.code is not None:
        raise WorkflowError(ended.code, ended.message)
    return ended


def _discovery(order: NewRun, max_tasks: int) -> DiscoverOrder:
    return DiscoverOrder(
        run_id=_NO_RUN,
        repository=order.repository,
        feature_key=order.feature_key,
        base_branch=order.base_branch,
        wanted_phase=order.wanted_phase,
        wanted_task_ids=tuple(order.wanted_task_ids),
        max_tasks=max_tasks,
    )


def _subjects(order: NewRun, forge: Forge, agents: Mapping[str, Agent]) -> Sequence[Checked]:
    # A process that serves the API alone may lack the agent; its workers check it themselves.
    return [forge, agents[order.agent]] if order.agent in agents else [forge]


def _pull_request(ended: Ended | None) -> PullRequestRef | None:
    if ended is None or ended.pull_request_url is None:
        return None
    return PullRequestRef(ended.pull_request_number, ended.pull_request_url)
