"""Check the services that other tests rely on: separate databases, and a Redis that can be killed."""

import pytest
import redis
from sqlalchemy import text

from api_service.db.schema import current_revision, wanted_revision
from api_service.db.session import Database
from tests.services_redis import RedisServer


class TestDatabases:
    def test_each_test_gets_the_schema_of_this_version(self, database: Database) -> None:
        assert current_revision(database) == wanted_revision()

    @pytest.mark.parametrize("turn", ["first", "second"])
    def test_no_test_sees_the_rows_of_another(self, database: Database, turn: str) -> None:
        with database.transaction() as session:
            tables = session.execute(text("SELECT count(*) FROM spec_workflow_runs")).scalar_one()
            session.execute(text("CREATE TABLE left_behind (turn TEXT)"))
        assert tables == 0, turn

    def test_an_empty_database_has_no_schema(self, empty_database_url: str) -> None:
        database = Database(empty_database_url)
        try:
            assert current_revision(database) is None
        finally:
            database.dispose()


@pytest.mark.redis
class TestRedis:
    def test_killed_and_started_it_answers_at_the_same_address(self, redis_server: RedisServer) -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            client.set("key", "value")
            redis_server.kill()
            redis_server.start()
            assert client.get("key") is None

    def test_each_test_gets_an_empty_one(self, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
