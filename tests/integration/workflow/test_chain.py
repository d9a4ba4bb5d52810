"""The chain itself carries a run; sweepers are only its safety net."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import celery.signals
import pytest

from api_service.db.schema import upgrade_schema
from api_service.db.session import Database
from moonmind.config.settings import read_settings
from moonmind.dispatch.station import Station, build_station
from moonmind.domain.ids import new_id
from moonmind.domain.states import RunStatus, Stage
from moonmind.embedded import WorkerThread
from moonmind.workflows import start_spec_workflow_run
from moonmind.workflows.speckit_celery import TASK_NAMES, create_celery_app, run_chain
from moonmind.workflows.speckit_celery.repositories import Repositories
from tests.integration.workflow.conftest import GRACE, order
from tests.repositories import habit_files, plan_repository


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station whose worker runs and whose sweeper never starts."""
    environment = {
        "MOONMIND_DATA_DIR": str(tmp_path / "data"),
        "SPEC_WORKFLOW_FORGE": "local",
        "SPEC_WORKFLOW_AGENT": "command",
        "SPEC_WORKFLOW_AGENT_COMMAND": "sh -e agent.sh",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    settings = read_settings(environment, config_file=tmp_path / "absent.toml")
    settings.data.mkdir()
    plan_repository(tmp_path, settings.effective_forge_root, "octo/habits", habit_files())
    database = Database(settings.effective_database_url)
    upgrade_schema(database)
    station = build_station(settings, database, environment=environment)
    worker = WorkerThread(station.app, threads=2)
    worker.start()
    yield station
    worker.stop()
    station.holder.release()
    database.dispose()


@pytest.fixture
def published() -> Iterator[list[str]]:
    """The names of the tasks whose messages were given to the broker."""
    names: list[str] = []

    def note(sender: str, **_signal: Any) -> None:
        names.append(sender)

    celery.signals.before_task_publish.connect(note)
    yield names
    celery.signals.before_task_publish.disconnect(note)


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_faultless_run_needs_five_messages_and_no_sweeper(station: Station, published: list[str]) -> None:
    database = station.services.database
    run_id = start_spec_workflow_run(database, order(), grace=GRACE)

    station.courier(run_id)

    def is_done() -> bool:
        with database.reading() as session:
            return Repositories(session, database.clock).runs.get(run_id).status == RunStatus.SUCCEEDED

    wait_until(is_done)
    assert published == [TASK_NAMES[stage] for stage in Stage]
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        run, stages = repositories.runs.get(run_id), repositories.stages.latest(run_id)
    assert run.celery_chain_id == stages[Stage.FINALIZE].celery_task_id
    assert all(row.celery_task_id for row in stages.values())


def test_the_chain_is_immutable_carries_ids_only_and_has_its_queues_fixed() -> None:
    app = create_celery_app(broker_url="memory://", queues=["codex", "publish"])
    queues = {stage: "publish" if stage in {Stage.PUBLISH, Stage.FINALIZE} else "codex" for stage in Stage}
    run_id = new_id()

    chain = run_chain(
        app,
        run_id=run_id,
        epoch=3,
        stages=Stage.APPLY.onward,
        queues=queues,
        task_ids={stage: f"id-{stage}" for stage in Stage},
    )

    links = chain["kwargs"]["tasks"]
    assert [link["task"] for link in links] == ["speckit.apply", "speckit.publish", "speckit.finalize"]
    assert all(link["immutable"] for link in links)
    assert all(link["kwargs"] == {"run_id": str(run_id), "epoch": 3} and not link["args"] for link in links)
    assert [link["options"]["queue"] for link in links] == ["codex", "publish", "publish"]
