"""The migrations make exactly the tables that the models describe, on both databases."""

from api_service.db.schema import (
    current_revision,
    require_current_schema,
    schema_differences,
    upgrade_schema,
    wanted_revision,
)
from api_service.db.session import Database


def test_migrations_and_models_agree(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    assert current_revision(database) is None

    assert upgrade_schema(database) == upgrade_schema(database) == wanted_revision()

    require_current_schema(database)
    assert schema_differences(database) == []
    database.dispose()
