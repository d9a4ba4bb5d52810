"""A preview says what a run would do, and leaves no trace of having been asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import inspect, text

from api_service.auth.tokens import Role
from api_service.db.session import Database
from moonmind.cli.preview_page import preview_view
from moonmind.domain.markers import make_marker, render_marker
from moonmind.domain.ports import PullRequestDraft
from tests.bare_repositories import BareRepo
from tests.contract.conftest import Served, serve
from tests.repositories import TASKS

PREVIEW = "/api/workflows/speckit/preview"
ORDER = {"repository": "Octo/Habits"}
FEATURE = "specs/001-habits/tasks.md"
BRANCH = "moonmind/001-habits/phase-2-story"


@pytest.fixture
def served(sqlite_url: str, tmp_path: Path) -> Iterator[Served]:
    """One kind of database is enough: a preview does not use it."""
    database = Database(sqlite_url)
    yield from serve(database, tmp_path)
    database.dispose()


@pytest.fixture
def repository(served: Served, tmp_path: Path) -> BareRepo:
    """A repository without a plan."""
    return BareRepo(tmp_path / "forge" / "octo" / "habits.git")


@pytest.fixture
def plan(repository: BareRepo) -> BareRepo:
    """A repository whose second phase is open."""
    repository.commit("main", {FEATURE: TASKS})
    return repository


def preview(operator: httpx.Client, **order: Any) -> dict[str, Any]:
    response = operator.post(PREVIEW, json={**ORDER, **order})
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def row_counts(database: Database) -> dict[str, int]:
    with database.reading() as session:
        names = inspect(session.connection()).get_table_names()
        return {name: session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}  # noqa: S608


def test_it_shows_phase_tasks_branch_prompt_and_credentials(operator: httpx.Client, plan: BareRepo) -> None:
    document = preview(operator, notes="Be kind.")

    assert set(document) == {
        *("status", "outcome", "message", "repository", "featureKey", "featureDir", "baseBranch", "baseSha"),
        *("tasksTotal", "tasksDone", "phase", "tasks", "branchName", "agent", "prompt", "credentials"),
        *("pullRequest", "warnings"),
    }
    assert (document["status"], document["outcome"], document["repository"]) == ("work", None, "octo/habits")
    assert document["phase"] == {"title": "Phase 2: Story", "line": 7}
    assert [(task["id"], task["line"]) for task in document["tasks"]] == [("T002", 9), ("T003", 10)]
    assert document["branchName"] == "moonmind/001-habits/phase-2-story"
    assert "T002" in document["prompt"]
    assert "Be kind." in document["prompt"]
    assert [(verdict["subject"], verdict["status"]) for verdict in document["credentials"]] == [
        ("local", "passed"),
        ("command", "passed"),
    ]


def test_nothing_is_written_but_the_mirror(
    served: Served, operator: httpx.Client, plan: BareRepo, tmp_path: Path
) -> None:
    before = row_counts(served.database)
    preview(operator)
    assert row_counts(served.database) == before
    assert served.sent == []
    assert not (tmp_path / "artifacts").exists()
    assert not (tmp_path / "workspaces" / "agents").exists()


def test_the_command_reads_every_part_of_it(operator: httpx.Client, plan: BareRepo) -> None:
    view = preview_view(preview(operator))
    assert view.has_work
    assert view.phase_title == "Phase 2: Story"
    assert view.tasks == (
        "T002 [P] Write the greeting in greeting.txt",
        "T003 Write the farewell in farewell.txt",
    )
    assert view.base.startswith("main at ")
    assert view.branch == "moonmind/001-habits/phase-2-story"
    assert {(subject, status) for subject, status, _ in view.credentials} == {
        ("local", "passed"),
        ("command", "passed"),
    }
    assert any("T002" in line for line in view.prompt)


def test_wishes_narrow_it(operator: httpx.Client, plan: BareRepo) -> None:
    document = preview(operator, selectedPhase="3", taskIds=["T004"])
    assert document["phase"]["title"] == "Phase 3: Polish"
    assert [task["id"] for task in document["tasks"]] == ["T004"]


def test_an_open_pull_request_of_the_phase_is_shown(served: Served, operator: httpx.Client, plan: BareRepo) -> None:
    plan.commit(BRANCH, {"greeting.txt": "hello"})
    marker = make_marker(run="another", feature="specs/001-habits", phase="Phase 2: Story", base="main")
    draft = PullRequestDraft(BRANCH, "main", "Story", render_marker(marker))
    opened = served.forge.open_pull_request(served.forge.describe("octo/habits"), draft)

    document = preview(operator)

    assert (document["status"], document["outcome"]) == ("no_work", "phase_in_flight")
    assert document["pullRequest"] == {"number": opened.number, "url": opened.url}
    assert document["phase"]["title"] == "Phase 2: Story"
    assert (document["branchName"], document["prompt"]) == (None, None)
    assert preview_view(document).pull_request_url == opened.url


@pytest.mark.parametrize(
    ("tasks", "status", "outcome"),
    [
        (TASKS.replace("- [ ]", "- [X]"), "no_work", "all_done"),
        (TASKS.replace("- [ ]", "- [~]"), "held", "held"),
    ],
)
def test_nothing_to_do_says_why(
    repository: BareRepo, operator: httpx.Client, tasks: str, status: str, outcome: str
) -> None:
    repository.commit("main", {FEATURE: tasks})
    document = preview(operator)
    assert (document["status"], document["outcome"], document["phase"]) == (status, outcome, None)
    assert document["message"]
    assert not preview_view(document).has_work


def test_failing_credentials_are_an_answer_with_a_remedy(
    served: Served, operator: httpx.Client, plan: BareRepo
) -> None:
    served.agent._unusable_because = "There is no such program."
    verdict = preview(operator)["credentials"][1]
    assert (verdict["status"], verdict["message"]) == ("failed", "There is no such program.")
    assert verdict["remedy"]


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"repository": "octo/absent"}, 409, "repository_not_found"),
        ({"featureKey": "009-other"}, 409, "feature_not_found"),
        ({"selectedPhase": "Phase 9"}, 409, "phase_not_found"),
        ({"taskIds": ["T001"]}, 409, "task_not_open"),
        ({"agent": "nobody"}, 422, "request_invalid"),
        ({"unknown": 1}, 422, "request_invalid"),
    ],
)
def test_what_would_end_the_run_is_a_problem_with_its_code(
    operator: httpx.Client, plan: BareRepo, order: dict[str, Any], status: int, code: str
) -> None:
    response = operator.post(PREVIEW, json={**ORDER, **order})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_an_unreadable_plan_is_no_missing_work(repository: BareRepo, operator: httpx.Client) -> None:
    repository.commit("main", {FEATURE: "# Tasks\n\nSoon.\n"})
    response = operator.post(PREVIEW, json=ORDER)
    assert (response.status_code, response.json()["code"]) == (409, "tasks_file_unreadable")


def test_secrets_in_the_plan_are_hidden(repository: BareRepo, operator: httpx.Client) -> None:
    repository.commit("main", {FEATURE: TASKS.replace("greeting.txt", "s3cret")})
    response = operator.post(PREVIEW, json=ORDER)
    assert response.status_code == 200
    assert "s3cret" not in response.text


def test_a_viewer_may_not_make_the_service_read_repositories(served: Served, plan: BareRepo) -> None:
    with served.client(served.token(Role.VIEWER)) as viewer:
        assert viewer.post(PREVIEW, json=ORDER).status_code == 403
