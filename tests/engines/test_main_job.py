"""The main job on each broker, with several workers, started in both ways and on both queues."""

import pytest

from moonmind.workflows.speckit_celery import create_celery_app
from tests.engines.conftest import CELERY_WORKER, Stack, assert_landed_once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.postgresql, pytest.mark.redis]


def test_each_queue_has_its_own_worker_and_the_run_lands(stack: Stack) -> None:
    agents = stack.start([*CELERY_WORKER, "-Q", "codex"], host="agents")
    publisher = stack.start_worker("-Q", "publish", host="publisher")
    agents.wait_for(r" ready\.")
    bares = {name: stack.add_repository(name) for name in ("queues/a", "queues/b")}
    runs = {name: stack.order(name) for name in bares}

    for name, bare in bares.items():
        assert_landed_once(stack.wait(runs[name]), bare)

    assert [agents.started("submit"), publisher.started("publish"), publisher.started("finalize")] == [2, 2, 2]
    # A message that reached both queues would have been received by both.
    assert [agents.received("publish"), agents.received("finalize"), publisher.received("submit")] == [0, 0, 0]
    assert [agents.stop(), publisher.stop()] == [0, 0]


def test_workers_differ_in_name_and_work_in_threads(stack: Stack) -> None:
    first = stack.start(CELERY_WORKER)
    second = stack.start_worker()
    first.wait_for(r" ready\.")

    app = create_celery_app(broker_url=stack.broker_url, queues=["codex"])
    with app.connection_for_write() as connection:
        inspect = app.control.inspect(timeout=5, connection=connection, limit=2)
        stats, queues = inspect.stats() or {}, inspect.active_queues() or {}
    app.close()

    assert len(stats) == 2
    assert {stat["pool"]["implementation"] for stat in stats.values()} == {"celery.concurrency.thread:TaskPool"}
    assert {stat["pool"]["max-concurrency"] for stat in stats.values()} == {8}
    assert {queue["name"] for consumed in queues.values() for queue in consumed} == {"codex", "publish"}
    assert [first.stop(), second.stop()] == [0, 0]
    assert list((first.folder / "holders").iterdir()) == []
