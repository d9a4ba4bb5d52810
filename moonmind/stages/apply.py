"""Bring the agent's patch onto a clean tree at the base commit and tick what it finished."""

import json
from dataclasses import asdict
from datetime import timedelta

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.orders import ApplyOrder
from moonmind.domain.outcomes import Done, Ended, Outcome, Parked
from moonmind.domain.patch_policy import POLICY_FILE, PatchPolicy, check_changes, check_patch, tighten
from moonmind.domain.ports import Agent, CleanTree, Forge, NotReady, Remote, RemoteAgent, StageArtifacts, Workspace
from moonmind.domain.results import Applied, StoredArtifact, TaskRef
from moonmind.domain.ticking import reported_done, tick
from moonmind.stages.agent_patch import keep_patch, no_change
from moonmind.stages.survey import TASKS_LIMIT

_POLICY_LIMIT = 64 * 1024
_CONFLICT_NAMES = 50


def apply(order: ApplyOrder, *, agent: Agent, forge: Forge, workspace: Workspace, artifacts: StageArtifacts) -> Outcome:
    """
    Check the patch, apply it, tick the tasks, and store the patch that will be published.

    Repeating is safe: the tree is fresh each time and nothing leaves this host.
    """
    patch = _patch(order, agent, artifacts)
    if not isinstance(patch, tuple):
        return patch
    content, stored = patch
    remote = forge.remote(forge.describe(order.discovered.repository), write=False)
    workspace.fetch(remote)
    policy = repository_policy(order.policy, workspace, remote, order.discovered.base_sha)
    check_patch(content, policy)
    base_tasks = _base_tasks(order, workspace, remote)
    with workspace.clean_tree(remote, order.discovered.base_sha) as tree:
        conflict = _apply_or_keep_conflict(tree, content, artifacts)
        if conflict is not None:
            return conflict
        ticked, unverified = _tick(order, tree, base_tasks)
        changes = tuple(tree.changes())
        if not changes:
            return Ended.failed(FailureCode.AGENT_NO_CHANGE, "The patch leaves nothing changed at the base commit.")
        check_changes(changes, policy)
        final = artifacts.put("apply_output", "final.patch", tree.diff())
        applied = Applied(
            patch=stored,
            final_patch=final,
            tree_id=tree.tree_id(),
            files=changes,
            insertions=sum(change.insertions for change in changes),
            deletions=sum(change.deletions for change in changes),
            ticked=ticked,
            left_open=tuple(task for task in order.discovered.tasks if task not in ticked),
            unverified=unverified,
            warnings=policy.warnings,
        )
    _store_summary(applied, artifacts)
    return Done(applied)


def repository_policy(policy: PatchPolicy, workspace: Workspace, remote: Remote, base_sha: str) -> PatchPolicy:
    """Return the policy as the repository's own file at the base commit tightens it."""
    content = workspace.read_file(remote, base_sha, POLICY_FILE, limit=_POLICY_LIMIT)
    return policy if content is None else tighten(policy, content)


def _patch(order: ApplyOrder, agent: Agent, artifacts: StageArtifacts) -> tuple[bytes, StoredArtifact] | Parked | Ended:
    if order.stored_patch is not None:
        return artifacts.read(order.stored_patch), order.stored_patch
    if order.submitted.task_id is None or not isinstance(agent, RemoteAgent):
        raise WorkflowError(FailureCode.PATCH_UNREADABLE, "The agent left neither a patch nor a task to ask for one.")
    collected = agent.collect(order.submitted.task_id)
    if isinstance(collected, NotReady):
        return Parked(max(collected.after, timedelta(seconds=1)), "The agent is still at work.")
    if not collected.patch.strip():
        return no_change(collected.report)
    return collected.patch, keep_patch(collected.patch, order.policy, artifacts)


def _base_tasks(order: ApplyOrder, workspace: Workspace, remote: Remote) -> bytes:
    found = order.discovered
    content = workspace.read_file(remote, found.base_sha, found.tasks_path, limit=TASKS_LIMIT)
    if content is None:
        detail = f"{found.tasks_path} is not in the base commit {found.base_sha[:12]} any more."
        raise WorkflowError(FailureCode.TASKS_FILE_MISSING, detail)
    return content


def _apply_or_keep_conflict(tree: CleanTree, patch: bytes, artifacts: StageArtifacts) -> Ended | None:
    try:
        tree.apply(patch)
    except WorkflowError as error:
        conflict = error.facts.get("conflict")
        if error.code is not FailureCode.PATCH_CONFLICT or not isinstance(conflict, str):
            raise
        artifacts.put("conflict", "conflict.diff", conflict.encode())
        files = error.facts.get("files")
        names = [str(name) for name in files][:_CONFLICT_NAMES] if isinstance(files, list | tuple) else []
        return Ended.failed(error.code, error.detail, conflicts=names)
    return None


def _tick(order: ApplyOrder, tree: CleanTree, base_tasks: bytes) -> tuple[tuple[TaskRef, ...], bool]:
    """
    Tick in our own hand: the agent's hunks in the task file are its report, and nothing more.

    Without a report all submitted tasks are ticked, and the second value says so. Where the agent
    did nothing beside, there is no work to trust, so nothing is ticked.
    """
    found = order.discovered
    edited = tree.read(found.tasks_path)
    reported = reported_done(base_tasks, edited, found.tasks) if edited is not None else None
    tree.restore(found.tasks_path)
    if reported is None and not tree.changes():
        return (), False
    ticked = tuple(task for task in found.tasks if reported is None or task.line in reported)
    if ticked:
        tree.write(found.tasks_path, tick(base_tasks, [task.line for task in ticked]))
    return ticked, reported is None


def _store_summary(applied: Applied, artifacts: StageArtifacts) -> None:
    summary = {
        "treeId": applied.tree_id,
        "files": [asdict(change) for change in applied.files],
        "insertions": applied.insertions,
        "deletions": applied.deletions,
        "ticked": [task.id or f"line {task.line}" for task in applied.ticked],
        "leftOpen": [task.id or f"line {task.line}" for task in applied.left_open],
        "unverified": applied.unverified,
        "warnings": list(applied.warnings),
    }
    artifacts.put("apply_output", "apply_output.json", json.dumps(summary, indent=2).encode())
