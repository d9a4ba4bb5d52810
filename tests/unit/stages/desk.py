"""Arrange one run over fakes: a repository with a plan, a forge, an agent, and every stage as a verb."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest

from moonmind.domain.claims import ClaimedStage
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ids import new_id
from moonmind.domain.markers import make_marker, render_marker
from moonmind.domain.orders import ApplyOrder, DiscoverOrder, PublishOrder, SubmitOrder
from moonmind.domain.outcomes import Done, Ended, Outcome
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import Agent, PullRequest, PullRequestDraft, PushIntent
from moonmind.domain.results import Applied, Discovered, StageResult, StoredArtifact, Submitted
from moonmind.domain.states import Stage
from moonmind.stages.apply import apply
from moonmind.stages.discover import discover
from moonmind.stages.publish import publish
from moonmind.stages.submit import submit
from moonmind.testing.agents import FakeLease, ScriptedAgent, ScriptedWork
from moonmind.testing.artifacts import InMemoryArtifactStore
from moonmind.testing.forges import InMemoryForge
from moonmind.testing.guards import InMemoryCredentials, InMemoryGuard
from moonmind.testing.workspaces import InMemoryWorkspace
from moonmind.workflows.speckit_celery.claim_artifacts import ClaimArtifacts
from tests.repositories import TASKS

REPOSITORY = "octo/habits"
TASKS_PATH = "specs/001-habits/tasks.md"
BRANCH = "moonmind/001-habits/phase-2-story"
RUN_ID = UUID("01936f3c-0000-7000-8000-00000000002a")

Result = TypeVar("Result", bound=StageResult)
Script = Callable[[ScriptedWork], int | None]


def tick_in(work: ScriptedWork, *ids: str) -> None:
    """Tick tasks as an agent would."""
    text = work.read(TASKS_PATH).decode()
    for name in ids:
        text = text.replace(f"[ ] {name}", f"[x] {name}")
    work.write(TASKS_PATH, text)


def greet(work: ScriptedWork) -> None:
    """Do two tasks and report one."""
    work.write("greeting.txt", "hello\n")
    tick_in(work, "T002")


def result_of(outcome: Outcome, kind: type[Result]) -> Result:
    """Return the result of a stage that has to be done."""
    assert isinstance(outcome, Done), outcome
    assert isinstance(outcome.result, kind)
    return outcome.result


def failure(outcome: Outcome) -> FailureCode | None:
    """Return the code of a stage that has to end its run."""
    assert isinstance(outcome, Ended), outcome
    return outcome.code


def refused(stage: Callable[[], Outcome]) -> FailureCode:
    """Return the code that a stage raises."""
    with pytest.raises(WorkflowError) as raised:
        stage()
    return raised.value.code


@dataclass
class Desk:
    """The fakes of one run; a stage may be called again, as after a crash."""

    folder: Path
    run_id: UUID = RUN_ID
    agent: Agent = field(default_factory=lambda: ScriptedAgent(greet))
    policy: PatchPolicy = field(default_factory=PatchPolicy)
    pushed: dict[str, frozenset[str]] = field(default_factory=dict)
    forge: InMemoryForge = field(default_factory=InMemoryForge)

    def __post_init__(self) -> None:
        self.workspace = InMemoryWorkspace(self.folder / "trees", on_push=self.forge.push)
        self.store = InMemoryArtifactStore(self.folder / "live")
        self.guard = InMemoryGuard()
        self.lease = FakeLease()
        self.credentials = InMemoryCredentials(forge=self.forge.name)
        self._token = 0
        self.artifacts = self._claim(Stage.DISCOVER)

    def plan(self, tasks: str = TASKS, *, branch: str = "main", more: Mapping[str, bytes] | None = None) -> str:
        """Make the repository with a first commit."""
        self.workspace.add_repository(REPOSITORY)
        sha = self.workspace.commit(REPOSITORY, branch, {TASKS_PATH: tasks.encode(), **(more or {})})
        self.forge.add_repository(REPOSITORY, default_branch=branch, tip=sha)
        return sha

    def commit(self, branch: str, files: dict[str, bytes | None]) -> str:
        """Commit to a branch as somebody else would."""
        sha = self.workspace.commit(REPOSITORY, branch, files)
        self.forge.push(REPOSITORY, branch, sha)
        return sha

    def request(
        self, branch: str = BRANCH, *, run: str | None = "another", phase: str = "Phase 2: Story"
    ) -> PullRequest:
        """Open a pull request as another run would, or as a person would when `run` is None."""
        if self.forge.tip(REPOSITORY, branch) is None:
            self.commit(branch, {"theirs.txt": b"theirs\n"})
        marker = make_marker(run=run or "", feature="specs/001-habits", phase=phase, base="main")
        body = "By hand." if run is None else render_marker(marker)
        return self.forge.open_pull_request(
            self.forge.describe(REPOSITORY), PullRequestDraft(branch, "main", "Theirs", body)
        )

    def discover(self, **changes: object) -> Outcome:
        """Run the stage under a new claim."""
        order = DiscoverOrder(self.run_id, REPOSITORY, None, None, None, (), max_tasks=25)
        self.artifacts = self._claim(Stage.DISCOVER)
        order = replace(order, **changes)  # type: ignore[arg-type]
        return discover(order, forge=self.forge, workspace=self.workspace, artifacts=self.artifacts)

    def submit(self, found: Discovered, **changes: object) -> Outcome:
        """Run the stage under a new claim."""
        order = SubmitOrder(self.run_id, found, f"mm-{self._token}", None, None, self.policy)
        self.artifacts = self._claim(Stage.SUBMIT)
        return submit(
            replace(order, **changes),  # type: ignore[arg-type]
            agent=self.agent,
            forge=self.forge,
            workspace=self.workspace,
            artifacts=self.artifacts,
            credentials=self.credentials,
            guard=self.guard,
            lease=self.lease,
        )

    def apply(self, found: Discovered, submitted: Submitted) -> Outcome:
        """Run the stage under a new claim."""
        order = ApplyOrder(self.run_id, found, submitted, submitted.patch, self.policy)
        self.artifacts = self._claim(Stage.APPLY)
        return apply(order, agent=self.agent, forge=self.forge, workspace=self.workspace, artifacts=self.artifacts)

    def publish(self, order: PublishOrder, **changes: object) -> Outcome:
        """Run the stage under a new claim; what was meant to be pushed is known as ours, as in the ledger."""
        self.artifacts = self._claim(Stage.PUBLISH)
        return publish(
            replace(order, pushed=self._known(), **changes),  # type: ignore[arg-type]
            forge=self.forge,
            workspace=self.workspace,
            artifacts=self.artifacts,
            credentials=self.credentials,
            guard=self.guard,
        )

    def ready_to_apply(self) -> tuple[Discovered, Submitted]:
        """Run the stages before apply."""
        found = result_of(self.discover(), Discovered)
        return found, result_of(self.submit(found), Submitted)

    def ready_to_publish(self) -> PublishOrder:
        """Run the stages before publish."""
        found, submitted = self.ready_to_apply()
        applied = result_of(self.apply(found, submitted), Applied)
        return PublishOrder(
            run_id=self.run_id,
            created_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
            requested_by="ada",
            notes=None,
            run_url=f"http://127.0.0.1:5000/runs/{self.run_id}",
            discovered=found,
            submitted=submitted,
            applied=applied,
            pushed={},
            closings_answered=0,
            policy=self.policy,
        )

    def stored(self, artifact_type: str) -> list[StoredArtifact]:
        """Return what the last stage stored of a type."""
        return [artifact for artifact in self.artifacts.recorded if artifact.artifact_type == artifact_type]

    def text(self, name: str) -> str:
        """Return what the last stage stored under a name."""
        (artifact,) = [artifact for artifact in self.artifacts.recorded if artifact.name == name]
        return self.store.read(artifact).decode()

    def branch_files(self, branch: str) -> dict[str, bytes]:
        """Return the files of a branch on the forge."""
        tip = self.forge.tip(REPOSITORY, branch)
        assert tip is not None
        return dict(self.workspace.files_of(REPOSITORY, tip))

    def _known(self) -> dict[str, frozenset[str]]:
        known = dict(self.pushed)
        for intent in self.guard.intents:
            if isinstance(intent, PushIntent):
                known[intent.branch] = known.get(intent.branch, frozenset()) | {intent.commit_sha}
        return known

    def _claim(self, stage: Stage) -> ClaimArtifacts:
        self._token += 1
        return ClaimArtifacts(self.store, ClaimedStage(new_id(), self.run_id, stage, 1, 1, self._token))
