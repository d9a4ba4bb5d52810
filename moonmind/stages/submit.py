"""Hand the tasks to the agent and keep what it says and does."""

from functools import partial

from moonmind.domain.orders import SubmitOrder
from moonmind.domain.outcomes import Done, Outcome
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import (
    Agent,
    AgentOrder,
    AgentReport,
    AgentTree,
    CredentialsGate,
    EffectGuard,
    Forge,
    Lease,
    StageArtifacts,
    SubmissionIntent,
    Workspace,
)
from moonmind.domain.prompts import render_prompt
from moonmind.domain.results import StoredArtifact, Submitted
from moonmind.stages.agent_patch import keep_patch, no_change

LOG_NAME = "codex_logs.jsonl"


def submit(
    order: SubmitOrder,
    *,
    agent: Agent,
    forge: Forge,
    workspace: Workspace,
    artifacts: StageArtifacts,
    credentials: CredentialsGate,
    guard: EffectGuard,
    lease: Lease,
) -> Outcome:
    """
    Submit once, under a marker that was recorded first.

    Repeating after a crash is safe for a local agent: its launcher has killed it before the
    stage can be claimed again, and the new one starts from the base commit in a tree of its own.
    """
    credentials.require(agent, forge)
    found = order.discovered
    prompt = render_prompt(found, marker=order.marker, notes=order.notes, retry_reason=order.retry_reason)
    stored_prompt = artifacts.put("prompt", "prompt.md", prompt.encode())
    # The intent owns the tree from its first file on, so that no janitor takes it for a left-over.
    guard.begin(SubmissionIntent(agent.name, order.marker, found.base_sha, order.marker))
    tree = _make_tree(order, agent, forge, workspace)
    try:
        agent_order = AgentOrder(
            marker=order.marker,
            prompt=prompt,
            base_branch=found.base_branch,
            base_sha=found.base_sha,
            log_path=artifacts.live_path(LOG_NAME),
            tree=tree,
        )
        report, logs = _run(agent, agent_order, artifacts, guard, lease)
        patch = _store_patch(tree, order.policy, artifacts)
    finally:
        if tree is not None:
            workspace.drop_agent_tree(order.marker)
    if tree is not None and patch is None:
        return no_change(report)
    return Done(_submitted(agent, order.marker, report, prompt=stored_prompt, logs=logs, patch=patch))


def _make_tree(order: SubmitOrder, agent: Agent, forge: Forge, workspace: Workspace) -> AgentTree | None:
    if not agent.local:
        return None
    remote = forge.remote(forge.describe(order.discovered.repository), write=False)
    # This host may not be the one that discovered the commit.
    workspace.fetch(remote)
    return workspace.agent_tree(remote, order.discovered.base_sha, key=order.marker)


def _run(
    agent: Agent, order: AgentOrder, artifacts: StageArtifacts, guard: EffectGuard, lease: Lease
) -> tuple[AgentReport, StoredArtifact | None]:
    try:
        report = agent.submit(order, lease=lease, started=partial(guard.started, order.marker))
    finally:
        # Whatever ended it, a person will want to read what it said.
        logs = _seal(order, artifacts)
    return report, logs


def _seal(order: AgentOrder, artifacts: StageArtifacts) -> StoredArtifact | None:
    return artifacts.seal("codex_logs", LOG_NAME) if order.log_path.exists() else None


def _store_patch(tree: AgentTree | None, policy: PatchPolicy, artifacts: StageArtifacts) -> StoredArtifact | None:
    patch = tree.diff() if tree is not None else b""
    return keep_patch(patch, policy, artifacts) if patch else None


def _submitted(
    agent: Agent,
    marker: str,
    report: AgentReport,
    *,
    prompt: StoredArtifact,
    logs: StoredArtifact | None,
    patch: StoredArtifact | None,
) -> Submitted:
    return Submitted(
        agent=agent.name,
        agent_version=agent.version,
        marker=marker,
        prompt=prompt,
        task_id=report.task_id,
        task_url=report.task_url,
        exit_code=report.exit_code,
        last_message=report.last_message,
        failed_commands=report.failed_commands,
        usage=report.usage,
        logs=logs,
        patch=patch,
    )
