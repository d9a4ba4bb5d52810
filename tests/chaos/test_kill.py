"""`kill -9` in the middle of any stage, then a restart: one branch, one commit, one pull request."""

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Service
from tests.repositories import TASKS, WRITER, git, habit_files

STAGES = ["discover", "submit", "apply", "publish", "finalize"]
_LIVE = """
    SELECT token FROM spec_workflow_task_states
    WHERE task_name = ? AND status = 'running' AND lease_until > strftime('%Y-%m-%d %H:%M:%f', 'now')
"""

_ACTIVE = "SELECT id FROM spec_workflow_runs WHERE status IN ('pending', 'running')"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data", "sh -e agent.sh")
    yield service
    if service.process is not None:
        service.kill()


def kill_while_running(service: Service, stage: str) -> int | None:
    """
    Kill the service while the stage is running, and return the token it held.

    The kill comes under the database's write lock: the stage cannot complete between the look
    and the kill, so it was running with a live lease when it came. A stage can be over before
    the lock is had; then None is returned once the run has ended.
    """
    connection = sqlite3.connect(service.data / "moonmind.db", isolation_level=None, timeout=0)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            continue
        row = connection.execute(_LIVE, (stage,)).fetchone()
        if row is not None:
            service.kill()
            still = connection.execute(_LIVE, (stage,)).fetchone()
            connection.execute("ROLLBACK")
            connection.close()
            assert still == row
            return int(row[0])
        active = connection.execute(_ACTIVE).fetchone()
        connection.execute("ROLLBACK")
        if active is None:
            connection.close()
            return None
        time.sleep(0.0005)
    pytest.fail(f"{stage} was never seen running: {service.log[-3000:]}")


def kill_one_of_many(service: Service, stage: str, agent: str) -> tuple[Path, dict[str, Any]]:
    """Order runs, one after the other, until one is hit in the stage; return its repository and the run."""
    for number in range(20):
        name = f"octo/habits-{number}"
        bare = service.add_repository(name, habit_files(agent))
        run = service.order(repository=name)
        token = kill_while_running(service, stage)
        if token is not None:
            assert token == 1
            return bare, run
    pytest.fail(f"{stage} was over each time before the kill came")


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_in_the_middle_of_a_stage_loses_nothing_and_doubles_nothing(service: Service, stage: str) -> None:
    # Long enough to be hit in the middle, and it leaves a child that ignores polite signals.
    agent = f"(trap '' TERM HUP; sleep 30) & sleep 0.3\n{WRITER}"
    service.start()
    bare, run = kill_one_of_many(service, stage, agent)

    service.start()
    ended = service.wait(run["id"])
    service.kill()

    assert (ended["status"], ended["prNumber"]) == ("succeeded", 1)
    branch = "moonmind/001-habits/phase-2-story"
    heads = git(bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    assert heads == ["main", branch]
    assert git(bare, "rev-list", "--count", f"main..{branch}").strip() == "1"
    assert git(bare, "show", f"{branch}:specs/001-habits/tasks.md") == TASKS.replace("[ ] T002", "[x] T002")
    requests = [json.loads(path.read_text()) for path in bare.with_suffix(".pulls").glob("*.json")]
    assert [(request["number"], request["state"]) for request in requests] == [(1, "open")]
    tasks = {task["taskName"]: task for task in ended["tasks"]}
    assert len(ended["tasks"]) == len(STAGES)
    assert tasks[stage]["payload"]["crashes"] == 1
