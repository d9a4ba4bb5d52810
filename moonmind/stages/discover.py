"""Find the next phase with open tasks, as it stands in the repository's base commit."""

import json
from dataclasses import replace

from moonmind.domain.orders import DiscoverOrder
from moonmind.domain.outcomes import Done, Ended, Outcome
from moonmind.domain.plan import plan_report
from moonmind.domain.ports import Forge, StageArtifacts, Workspace
from moonmind.domain.results import StoredArtifact
from moonmind.stages.survey import Survey, discovered, free_branch, select_work, survey_base


def discover(order: DiscoverOrder, *, forge: Forge, workspace: Workspace, artifacts: StageArtifacts) -> Outcome:
    """
    Read the base commit and choose what to submit.

    Repeating is safe: it reads the forge and a mirror, and stores a snapshot under its own claim.
    """
    survey = survey_base(order, forge=forge, workspace=workspace)
    snapshot = _store_snapshot(artifacts, survey)
    selection = select_work(order, survey)
    if isinstance(selection, Ended):
        return selection
    free = free_branch(order, survey, selection.phase, forge=forge)
    if isinstance(free, Ended):
        return free
    branch, suffix = free
    return Done(replace(discovered(survey, selection, branch=branch, suffix=suffix), snapshot=snapshot))


def _store_snapshot(artifacts: StageArtifacts, survey: Survey) -> StoredArtifact:
    snapshot = {"baseSha": survey.base_sha, "tasksPath": survey.feature.tasks_path, **plan_report(survey.plan)}
    text = json.dumps(snapshot, indent=2, ensure_ascii=False)
    return artifacts.put("discovery_snapshot", "discovery.json", text.encode())
