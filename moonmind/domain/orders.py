"""Hold what each stage is asked to do: frozen, complete, and read from the database at its start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.results import Applied, Discovered, Published, StoredArtifact, Submitted


@dataclass(frozen=True)
class DiscoverOrder:
    """Find the next phase of a feature, or the wanted one."""

    run_id: UUID
    repository: str
    feature_key: str | None
    base_branch: str | None
    wanted_phase: str | None
    wanted_task_ids: Sequence[str]
    max_tasks: int


@dataclass(frozen=True)
class SubmitOrder:
    """Hand the discovered tasks to the agent."""

    run_id: UUID
    discovered: Discovered
    marker: str
    notes: str | None
    retry_reason: str | None
    """Why the attempt before failed, where the agent or its patch was the cause."""
    policy: PatchPolicy


@dataclass(frozen=True)
class ApplyOrder:
    """Bring the agent's patch onto a clean tree and tick the tasks."""

    run_id: UUID
    discovered: Discovered
    submitted: Submitted
    stored_patch: StoredArtifact | None
    policy: PatchPolicy


@dataclass(frozen=True)
class PublishOrder:
    """Land the patch as one branch and one pull request."""

    run_id: UUID
    created_at: datetime
    requested_by: str
    notes: str | None
    run_url: str
    discovered: Discovered
    submitted: Submitted
    applied: Applied
    pushed: Mapping[str, frozenset[str]]
    """For each branch of the repository the commits on it that are known as ours."""
    closings_answered: int
    """How many closings of its pull request an operator answered with a retry since discovery."""
    policy: PatchPolicy


@dataclass(frozen=True)
class FinalizeOrder:
    """Close the run."""

    run_id: UUID
    published: Published
    workspace_keys: Sequence[str]
