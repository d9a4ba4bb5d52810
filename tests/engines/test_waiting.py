"""A process waits for what is missing when it starts, and says what that is."""

import signal
import sys

import pytest
from sqlalchemy import text

from api_service.db.schema import upgrade_schema
from api_service.db.session import Database
from tests.engines.conftest import CELERY_WORKER, MOONMIND_WORKER, Stack
from tests.engines.test_orders import redis_to_come  # noqa: F401 - a fixture
from tests.services_redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.postgresql, pytest.mark.redis]
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
SERVER = [sys.executable, "-m", "uvicorn", "api_service.main:app"]


def test_a_worker_starts_when_schema_and_broker_are_there(
    own_stack: Stack,
    redis_to_come: RedisServer,  # noqa: F811
    empty_postgresql_url: str,
) -> None:
    own_stack.database_url = empty_postgresql_url
    worker = own_stack.start(CELERY_WORKER)
    worker.wait_for("moonmind db upgrade.*waiting for the database schema")

    database = Database(empty_postgresql_url)
    upgrade_schema(database)
    database.dispose()
    worker.wait_for("CELERY_BROKER_URL.*waiting for the broker")

    redis_to_come.start()
    worker.wait_for(r" ready\.")
    assert worker.stop() == 0


@pytest.mark.parametrize("command", [CELERY_WORKER, SERVER], ids=["worker", "api"])
def test_who_waits_can_be_stopped_even_as_the_first_process_of_a_container(
    own_stack: Stack, command: list[str]
) -> None:
    own_stack.database_url = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
    process = own_stack.start([*CONTAINER, *command])
    process.wait_for("DATABASE_URL.*waiting for the database")

    process.signal_inner(signal.SIGTERM)

    assert process.popen.wait(10) == 0
    assert "secret" not in process.log


def test_a_schema_of_a_newer_version_is_not_waited_for(own_stack: Stack) -> None:
    database = Database(own_stack.database_url)
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '29990101_0000'"))
    database.dispose()
    worker = own_stack.start(MOONMIND_WORKER)
    assert worker.popen.wait(20) != 0
    assert "schema_outdated" in worker.log
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("options", [["-P", "solo"], ["-c", "2"]], ids=["pool", "concurrency"])
def test_a_command_line_that_would_let_publishing_wait_behind_agents_is_refused(
    own_stack: Stack, options: list[str]
) -> None:
    worker = own_stack.start([*CELERY_WORKER, *options])
    assert worker.popen.wait(20) == 1
    assert "setting_invalid: --" in worker.log
