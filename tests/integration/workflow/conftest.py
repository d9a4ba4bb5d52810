"""Arrange runs at any stage, on both kinds of database, without brokers or adapters."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, StageMessage
from moonmind.domain.outcomes import Done, Outcome
from moonmind.domain.results import (
    Applied,
    Discovered,
    Finalized,
    PhaseRef,
    Published,
    StageResult,
    StoredArtifact,
    Submitted,
    TaskRef,
)
from moonmind.domain.states import STAGES, RunOutcome, Stage
from moonmind.workflows import NewRun, start_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import ClaimTerms, claim_stage
from moonmind.workflows.speckit_celery.completion import Completion, complete_stage

GRACE = timedelta(seconds=60)
TERMS = ClaimTerms(owner="worker-a", lease=timedelta(seconds=60), limit=timedelta(minutes=10))


def order(**changes: object) -> NewRun:
    values: dict[str, object] = {
        "repository": "octo/habits",
        "feature_key": "001-habits",
        "agent": "command",
        "requested_by": "tests",
        "queue": "codex",
        "publish_queue": "codex",
    }
    return NewRun(**(values | changes))  # type: ignore[arg-type]


def stored(name: str) -> StoredArtifact:
    return StoredArtifact("prompt", name, f"somewhere/{name}", "text/plain", 3, "ab" * 32, "store-1")


def results(feature_dir: str = "specs/001-habits") -> dict[Stage, StageResult]:
    """One good result for each stage."""
    task = TaskRef(line=9, id="T003", text="Write it")
    return {
        Stage.DISCOVER: Discovered(
            repository="octo/habits",
            feature_key="001-habits",
            feature_dir=feature_dir,
            base_branch="main",
            default_branch="main",
            base_sha="1" * 40,
            tasks_path=f"{feature_dir}/tasks.md",
            tasks_sha256="2" * 64,
            tasks_total=4,
            tasks_done=2,
            phase=PhaseRef("Phase 3: Story", 7),
            tasks=(task,),
            finished=(),
            branch="moonmind/001-habits/phase-3-story",
        ),
        Stage.SUBMIT: Submitted("command", "1", "mm-1", stored("prompt.md"), patch=stored("codex.patch")),
        Stage.APPLY: Applied(stored("codex.patch"), stored("final.patch"), "3" * 40, (), 1, 0, (task,), (), False),
        Stage.PUBLISH: Published(
            "moonmind/001-habits/phase-3-story",
            "4" * 40,
            1,
            "http://forge/pulls/1",
            RunOutcome.PULL_REQUEST_CREATED,
        ),
        Stage.FINALIZE: Finalized(RunOutcome.PULL_REQUEST_CREATED),
    }


@pytest.fixture
def start(database: Database) -> Callable[..., UUID]:
    """Order a run."""

    def start_run(**changes: object) -> UUID:
        return start_spec_workflow_run(database, order(**changes), grace=GRACE)

    return start_run


@pytest.fixture
def claim(database: Database) -> Callable[..., ClaimedStage]:
    """Claim a stage that has to be ready."""

    def claim_ready(run_id: UUID, stage: Stage, epoch: int = 1, terms: ClaimTerms = TERMS) -> ClaimedStage:
        taken = claim_stage(database, StageMessage(run_id, stage, epoch), terms)
        assert isinstance(taken, ClaimedStage)
        return taken

    return claim_ready


@pytest.fixture
def complete(database: Database) -> Callable[[ClaimedStage, Outcome], Completion]:
    """Record an outcome for a claim."""

    def complete_claimed(claimed: ClaimedStage, outcome: Outcome) -> Completion:
        return complete_stage(database, claimed, outcome, artifacts=(), grace=GRACE)

    return complete_claimed


@pytest.fixture
def reach(
    claim: Callable[..., ClaimedStage], complete: Callable[[ClaimedStage, Outcome], Completion]
) -> Callable[..., None]:
    """Let a run succeed in every stage before the given one."""

    def reach_stage(run_id: UUID, until: Stage) -> None:
        for stage in STAGES[: STAGES.index(until)]:
            complete(claim(run_id, stage), Done(results()[stage]))

    return reach_stage
