"""An operator asks for the next phase and gets one branch and one pull request."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import RUNS, Service
from tests.repositories import TASKS, git, habit_files


def branches(bare: Path) -> list[str]:
    return git(bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


def pull_requests(bare: Path) -> list[dict[str, object]]:
    folder = bare.with_name(bare.name.removesuffix(".git") + ".pulls")
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_the_phase_lands_as_one_branch_and_one_pull_request(shared: Service) -> None:
    bare = shared.add_repository("octo/landing", habit_files())

    run = shared.run(repository="Octo/Landing")

    assert (run["status"], run["outcome"], run["phase"]) == ("succeeded", "pull_request_created", "complete")
    assert run["selectedPhase"]["title"] == "Phase 2: Story"
    assert run["selectedPhase"]["taskIds"] == ["T002", "T003"]
    branch = "moonmind/001-habits/phase-2-story"
    assert branches(bare) == sorted(["main", branch])
    assert git(bare, "rev-list", "--count", f"main..{branch}").strip() == "1"
    assert git(bare, "show", f"{branch}:greeting.txt") == "hello\n"
    assert git(bare, "show", f"{branch}:specs/001-habits/tasks.md") == TASKS.replace("[ ] T002", "[x] T002")
    (request,) = pull_requests(bare)
    assert (request["head"], request["base"], request["state"]) == (branch, "main", "open")
    assert run["commitSha"] == git(bare, "rev-parse", branch).strip()


def test_its_artifacts_logs_and_audits_are_there(shared: Service) -> None:
    shared.add_repository("octo/artifacts", habit_files())

    run = shared.run(repository="octo/artifacts", notes="Be kind.")

    kinds = {artifact["artifactType"] for artifact in run["artifacts"]}
    assert {"discovery_snapshot", "prompt", "codex_logs", "codex_patch", "apply_output", "gh_push_log"} <= kinds
    assert {audit["subject"] for audit in run["credentialAudit"]} == {"command", "local"}
    with shared.client as client:
        prompt = next(artifact for artifact in run["artifacts"] if artifact["artifactType"] == "prompt")
        assert b"Be kind." in client.get(prompt["downloadUrl"]).content


def test_an_open_pull_request_is_not_done_twice_and_after_its_merge_the_rest_follows(shared: Service) -> None:
    shared.add_repository("octo/flight", habit_files())
    first = shared.run(repository="octo/flight")

    second = shared.run(repository="octo/flight")

    assert (second["status"], second["outcome"]) == ("no_work", "phase_in_flight")
    assert second["prUrl"] == first["prUrl"]
    merged = shared.moonmind("forge", "merge", "octo/flight", str(first["prNumber"]))
    assert merged.returncode == 0, merged.stderr
    third = shared.run(repository="octo/flight")
    assert third["selectedPhase"] == {"title": "Phase 2: Story", "line": 7, "taskIds": ["T003"]}
    assert third["branchName"] == "moonmind/001-habits/phase-2-story-2"


def test_nothing_left_is_no_work(shared: Service) -> None:
    shared.add_repository("octo/done", habit_files(tasks=TASKS.replace("- [ ]", "- [X]")))
    run = shared.run(repository="octo/done")
    assert (run["status"], run["outcome"], run["failure"]) == ("no_work", "all_done", None)


def test_the_pull_requests_address_is_a_page_of_ours_behind_the_sign_in(shared: Service) -> None:
    shared.add_repository("octo/page", habit_files())
    run = shared.run(repository="octo/page")
    with shared.client as client:
        page = client.get(run["prUrl"])
        assert page.status_code == 200
        assert "Phase 2: Story" in page.text
        assert "greeting.txt" in page.text
        del client.headers["Authorization"]
        assert client.get(run["prUrl"]).status_code in {303, 401}


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM])
def test_a_clean_stop_in_the_middle_is_no_crash_and_the_run_goes_on(service: Service, asked_by: signal.Signals) -> None:
    flag = service.data.parent / "go"
    service.add_repository("octo/habits", habit_files(f"while [ ! -e {flag} ]; do sleep 0.05; done; echo hi >new.txt"))
    service.start()
    run = service.order(repository="octo/habits")
    with service.client as client:
        while client.get(f"{RUNS}/{run['id']}").json()["currentTaskName"] != "submit":
            time.sleep(0.05)

    assert service.stop(asked_by) == 0

    flag.touch()
    service.start()
    ended = service.wait(run["id"])
    assert ended["status"] == "succeeded"
    submit = next(task for task in ended["tasks"] if task["taskName"] == "submit")
    assert submit["payload"]["crashes"] == 0


def test_a_second_process_on_the_same_data_folder_is_refused(service: Service) -> None:
    service.start()
    second = service.moonmind("up")
    assert second.returncode != 0
    assert "data_folder_in_use" in second.stderr or "Another process" in second.stderr
