"""Each way to fail ends in the right status, with a code, what happened, and the next step."""

from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.conftest import Service
from tests.repositories import TASKS, git, habit_files

FEATURE = "specs/001-habits/tasks.md"
SECRET = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"


def assert_failed(run: dict[str, Any], code: str, stage: str) -> None:
    failure = run["failure"]
    assert failure is not None, run
    assert (run["status"], failure["code"], failure["stage"]) == ("failed", code, stage), failure
    assert failure["message"]
    assert run["id"] in failure["remedy"] or "moonmind" in failure["remedy"]
    assert run["prUrl"] is None


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("cat >/dev/null; echo no; exit 3", "agent_failed"),
        ("cat >/dev/null; echo nothing to do", "agent_no_change"),
        ("cat >/dev/null; echo 'Which colour do you want?'", "agent_needs_input"),
        ("cat >/dev/null; sleep 60", "agent_went_silent"),
        ("cat >/dev/null; while :; do echo busy; sleep 0.1; done", "agent_timed_out"),
    ],
)
def test_an_agent_that_does_not_deliver(shared: Service, script: str, code: str) -> None:
    name = f"octo/{code}"
    bare = shared.add_repository(name, habit_files(script))
    run = shared.run(repository=name)
    assert_failed(run, code, "submit")
    assert "codex_logs" in {artifact["artifactType"] for artifact in run["artifacts"]}
    submit = next(task for task in run["tasks"] if task["taskName"] == "submit")
    assert run["codexLogsPath"] in submit["artifactPaths"]
    assert git(bare, "branch", "--list", "moonmind/*") == ""


def test_a_patch_that_breaks_a_rule_is_refused_and_kept(shared: Service) -> None:
    script = "cat >/dev/null; mkdir -p .github/workflows; echo x >.github/workflows/ci.yml"
    shared.add_repository("octo/rules", habit_files(script))
    run = shared.run(repository="octo/rules")
    assert_failed(run, "patch_refused", "apply")
    assert ".github/workflows/ci.yml" in run["failure"]["message"]
    assert "codex_patch" in {artifact["artifactType"] for artifact in run["artifacts"]}


def test_a_patch_with_a_secret_ends_the_run_and_the_secret_is_stored_nowhere(shared: Service) -> None:
    script = f"cat >/dev/null; printf 'token = ghp_%s\\n' {SECRET} >settings.py"
    shared.add_repository("octo/secret", habit_files(script))
    run = shared.run(repository="octo/secret")
    assert_failed(run, "patch_refused", "submit")
    assert "settings.py" in run["failure"]["message"]
    assert [a["name"] for a in run["artifacts"] if a["artifactType"] == "codex_patch"] == ["codex.patch.redacted"]
    stored = [path for path in (shared.data / "artifacts").rglob("*") if path.is_file()]
    texts = [str(run), shared.log, *(path.read_text(errors="replace") for path in stored)]
    assert len(texts) > 4
    assert [text for text in texts if f"ghp_{SECRET}" in text] == []


@pytest.mark.parametrize(
    ("files", "order", "code"),
    [
        ({"README.md": b"x"}, {}, "feature_not_found"),
        ({FEATURE: TASKS.encode()}, {"featureKey": "009-other"}, "feature_not_found"),
        ({FEATURE: TASKS.encode(), "specs/002-x/tasks.md": TASKS.encode()}, {}, "feature_ambiguous"),
        ({"specs/001-habits/spec.md": b"# Spec\n"}, {}, "tasks_file_missing"),
        ({FEATURE: b"# Tasks\n\nSoon.\n"}, {}, "tasks_file_unreadable"),
        ({FEATURE: TASKS.encode()}, {"baseBranch": "gone"}, "base_branch_not_found"),
        ({FEATURE: TASKS.encode()}, {"selectedPhase": "Phase 9"}, "phase_not_found"),
        ({FEATURE: TASKS.encode()}, {"taskIds": ["T001"]}, "task_not_open"),
    ],
)
def test_a_repository_that_does_not_fit_the_order(
    shared: Service, files: dict[str, bytes], order: dict[str, Any], code: str
) -> None:
    name = f"octo/{uuid4().hex[:8]}"
    shared.add_repository(name, files)
    assert_failed(shared.run(repository=name, **order), code, "discover")


def test_no_such_repository(shared: Service) -> None:
    assert_failed(shared.run(repository="octo/absent"), "repository_not_found", "discover")


def test_an_empty_repository(shared: Service) -> None:
    bare = shared.data / "forge" / "octo" / "empty.git"
    bare.mkdir(parents=True)
    git(bare, "init", "-q", "--bare")
    assert_failed(shared.run(repository="octo/empty"), "repository_empty", "discover")


def test_a_missing_program_fails_the_credential_check(service: Service) -> None:
    service.agent = "/nowhere/agent --now"
    service.add_repository("octo/habits", habit_files())
    service.start()
    run = service.run(repository="octo/habits")
    assert_failed(run, "agent_unavailable", "submit")
    assert any(audit["status"] == "failed" and audit["remedy"] for audit in run["credentialAudit"])
