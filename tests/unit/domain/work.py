"""Make the values that one run has found, for the tests of what is written about it."""

from uuid import UUID

from moonmind.domain.pull_requests import RunFacts
from moonmind.domain.results import (
    Applied,
    Discovered,
    FileChange,
    PhaseRef,
    StoredArtifact,
    Submitted,
    TaskRef,
    TokenUsage,
)

RUN_ID = UUID("01936f3c-0000-7000-8000-00000000002a")
BASE_SHA = "0123456789abcdef0123456789abcdef01234567"
FEATURE = "specs/001-celery-chain-workflow"

T012 = TaskRef(12, "[P] [US1] Create the run model in `moonmind/models/run.py`", "T012", notes=("one row per run",))
T013 = TaskRef(14, "[US1] Add the route in api_service/api/routers/workflows.py", "T013")
T014 = TaskRef(15, "[US1] Show the run's state", "T014")


def artifact(name: str) -> StoredArtifact:
    return StoredArtifact(name, name, f"runs/{name}", "text/plain", 10, "ab" * 32, "store-1")


def discovered(**changes: object) -> Discovered:
    values: dict[str, object] = {
        "repository": "acme/habits",
        "feature_key": "001-celery-chain-workflow",
        "feature_dir": FEATURE,
        "base_branch": "main",
        "default_branch": "main",
        "base_sha": BASE_SHA,
        "tasks_path": f"{FEATURE}/tasks.md",
        "tasks_sha256": "cd" * 32,
        "tasks_total": 20,
        "tasks_done": 11,
        "phase": PhaseRef("Phase 3: User Story 1 \u2013 Trigger Next Spec Phase (Priority: P1) 🎯 MVP", 10),
        "tasks": (T012, T013, T014),
        "finished": (TaskRef(11, "[US1] Write the contract test", "T011"),),
        "branch": "moonmind/001-celery-chain-workflow/phase-3-user-story-1",
        "documents": (f"{FEATURE}/plan.md", f"{FEATURE}/spec.md", f"{FEATURE}/tasks.md"),
        "warnings": ("T009 of an earlier phase is still open.",),
    }
    return Discovered(**{**values, **changes})  # type: ignore[arg-type]


def submitted(**changes: object) -> Submitted:
    values: dict[str, object] = {
        "agent": "codex_exec",
        "agent_version": "0.58.0",
        "marker": "mm-42",
        "prompt": artifact("prompt"),
        "last_message": "Done with T012 and T013.\nT014 needs a decision: which states are shown?",
        "usage": TokenUsage(input_tokens=12_345, cached_input_tokens=10_000, output_tokens=2_345),
    }
    return Submitted(**{**values, **changes})  # type: ignore[arg-type]


def applied(**changes: object) -> Applied:
    values: dict[str, object] = {
        "patch": artifact("codex_patch"),
        "final_patch": artifact("final_patch"),
        "tree_id": "ee" * 20,
        "files": (
            FileChange("api_service/api/routers/workflows.py", 40, 2),
            FileChange("docs/logo.png", 0, 0, binary=True),
            FileChange("moonmind/models/run.py", 80, 0),
        ),
        "insertions": 120,
        "deletions": 2,
        "ticked": (T012, T013),
        "left_open": (T014,),
        "unverified": False,
    }
    return Applied(**{**values, **changes})  # type: ignore[arg-type]


def run_facts(**changes: object) -> RunFacts:
    values: dict[str, object] = {
        "run_id": RUN_ID,
        "run_url": f"http://127.0.0.1:5000/runs/{RUN_ID}",
        "requested_by": "nina",
        "notes": "Keep the route thin.",
    }
    return RunFacts(**{**values, **changes})  # type: ignore[arg-type]
