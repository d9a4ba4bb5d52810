"""A message that no worker can understand is refused, counted and logged; the worker lives on."""

import base64
import json
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api_service.db.schema import upgrade_schema
from api_service.db.session import Database
from moonmind.config.settings import read_settings
from moonmind.dispatch.station import Station, build_station
from moonmind.domain.states import RunStatus, Stage
from moonmind.embedded import WorkerThread
from moonmind.testing.metrics import RecordedMetrics
from moonmind.workflows import start_spec_workflow_run
from moonmind.workflows.speckit_celery import TASK_NAMES
from moonmind.workflows.speckit_celery.repositories import Repositories
from tests.integration.workflow.conftest import GRACE, order
from tests.repositories import habit_files, plan_repository

DISCOVER = TASK_NAMES[Stage.DISCOVER]
RUN = str(uuid4())


@pytest.fixture
def metrics() -> RecordedMetrics:
    return RecordedMetrics()


@pytest.fixture
def station(tmp_path: Path, metrics: RecordedMetrics) -> Iterator[Station]:
    """A station with a running worker and no sweeper: nothing but messages moves it."""
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
    station = build_station(
        settings, database, environment=environment, adapt=lambda services: replace(services, metrics=metrics)
    )
    worker = WorkerThread(station.app, threads=2)
    worker.start()
    yield station
    worker.stop()
    station.holder.release()
    database.dispose()


def raw(
    body: bytes, *, content_type: str = "application/json", encoding: str = "utf-8", **headers: object
) -> dict[str, Any]:
    """Return a message as a stranger might put it into the queue."""
    return {"body": body, "content_type": content_type, "content_encoding": encoding, "headers": headers}


def task(kwargs: object, *, name: str = DISCOVER, args: object = ()) -> dict[str, Any]:
    """Return a message in Celery's own form."""
    body = json.dumps([args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return raw(body.encode(), lang="py", task=name, id=str(uuid4()), root_id=None, parent_id=None)


class Trap:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


MALFORMED = {
    "no arguments at all": task({}),
    "no epoch": task({"run_id": RUN}),
    "no run": task({"epoch": 1}),
    "a run that is no UUID": task({"run_id": "../../etc/passwd", "epoch": 1}),
    "a run that is a number": task({"run_id": 7, "epoch": 1}),
    "an epoch that is text": task({"run_id": RUN, "epoch": "1"}),
    "an epoch that is true": task({"run_id": RUN, "epoch": True}),
    "an epoch that is no count": task({"run_id": RUN, "epoch": -1}),
    "arguments by position": task({"run_id": RUN, "epoch": 1}, args=[RUN, 1]),
    "a huge run": task({"run_id": "x" * 20_000_000, "epoch": 1}),
}
UNREADABLE = {
    "an unknown task": task({"run_id": RUN, "epoch": 1}, name="speckit.deploy"),
    "a task of Celery's own": task({}, name="celery.backend_cleanup"),
    "no JSON": raw(b"{not json", lang="py", task=DISCOVER, id="1"),
    "no UTF-8": raw(b"\xff\xfe\xfa", lang="py", task=DISCOVER, id="1"),
    "a pickle": raw(
        base64.b64encode(pickle.dumps(Trap())),
        content_type="application/x-python-serialize",
        encoding="binary",
        lang="py",
        task=DISCOVER,
        id="1",
    ),
    "a body of another shape": raw(b'"text"', lang="py", task=DISCOVER, id="1"),
    "arguments of another shape": task(["run_id"]),
    "no headers": raw(b"{}"),
    "no headers and no JSON": raw(b"\x80\x04N."),
    "no id": raw(b"[[], {}, {}]", lang="py", task=DISCOVER),
    "an id that is a list": raw(b"[[], {}, {}]", lang="py", task=DISCOVER, id=[1]),
    "a name that is a list": raw(b"[[], {}, {}]", lang="py", task=[DISCOVER], id="1"),
    "a time that is none": raw(b"[[], {}, {}]", lang="py", task=DISCOVER, id="1", eta="tomorrow"),
}


def send(station: Station, message: dict[str, Any]) -> None:
    with station.app.connection_for_write() as connection:
        channel: Any = connection.channel()
        prepared = channel.prepare_message(
            message["body"],
            content_type=message["content_type"],
            content_encoding=message["content_encoding"],
            headers=message["headers"],
        )
        # What is sent to a queue before anybody declared it is gone.
        station.app.amqp.queues["codex"].bind(channel).declare()
        channel.basic_publish(prepared, exchange="codex", routing_key="codex")


def ends_well(station: Station, feature: str = "001-habits") -> bool:
    """Order a run, and tell whether the worker takes it to its end."""
    database = station.services.database
    run_id = start_spec_workflow_run(database, order(feature_key=feature), grace=GRACE)
    station.relay.send_one(run_id)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with database.reading() as session:
            run = Repositories(session, database.clock).runs.get(run_id)
        if not RunStatus(run.status).is_active:
            return run.status == RunStatus.SUCCEEDED
        time.sleep(0.02)
    return False


def wait_for_refusals(metrics: RecordedMetrics, count: int) -> None:
    deadline = time.monotonic() + 15
    while len(metrics.refused) < count and time.monotonic() < deadline:
        time.sleep(0.02)


def test_every_kind_of_poison_is_refused_and_the_next_run_is_done(
    station: Station, metrics: RecordedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    poison = MALFORMED | UNREADABLE
    for message in poison.values():
        send(station, message)
    wait_for_refusals(metrics, len(poison))

    assert len(metrics.refused) == len(poison)
    assert ends_well(station)
    assert len(caplog.text) < 200_000, "what a stranger sends does not fill the log"


def test_a_message_of_a_newer_version_is_read_and_one_of_another_epoch_is_dropped(
    station: Station, metrics: RecordedMetrics
) -> None:
    database = station.services.database
    run_id = start_spec_workflow_run(database, order(), grace=GRACE)
    send(station, task({"run_id": str(run_id), "epoch": 2}))
    send(station, task({"run_id": str(run_id), "epoch": 10**30}))
    send(station, task({"run_id": RUN, "epoch": 1}))
    send(station, task({"run_id": str(run_id), "epoch": 1, "hint": {"of": "a newer version"}}))

    def status() -> str:
        with database.reading() as session:
            return Repositories(session, database.clock).stages.latest(run_id)[Stage.DISCOVER].status

    deadline = time.monotonic() + 15
    while status() != "succeeded" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert status() == "succeeded"
    assert metrics.refused == []
