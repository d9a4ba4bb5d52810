"""Share fixtures between all tests, and keep the machine that runs them out of their way."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from api_service.db.schema import upgrade_schema
from api_service.db.session import Database

pytest_plugins = [
    "tests.services_postgresql",
    "tests.services_rabbitmq",
    "tests.services_redis",
    "tests.skip_gate",
]

# What an operator may have set in the shell that runs the tests must not reach them.
_PREFIXES_OF_SETTINGS = ("CELERY_", "CODEX_", "DATABASE_", "GIT_", "GITHUB_", "MOONMIND_", "SPEC_WORKFLOW_", "STATSD_")

# Examples may take long on a busy machine, so hypothesis sets no deadline; pytest's timeout holds.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def _environment_of_this_machine_is_left_out() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_PREFIXES_OF_SETTINGS):
                patch.delenv(name)
        # Neither the identity nor the hooks nor the aliases of whoever runs the tests.
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


@pytest.fixture(scope="session")
def _migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{file}")
    upgrade_schema(database)
    database.dispose()
    return file


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """Address of a new SQLite database without any table."""
    return f"sqlite:///{tmp_path / 'moonmind.db'}"


@pytest.fixture
def sqlite_url(_migrated_sqlite_file: Path, tmp_path: Path) -> str:
    """Address of a new SQLite database with the schema of this version."""
    return f"sqlite:///{shutil.copy(_migrated_sqlite_file, tmp_path / 'moonmind.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """Address of a new database with the schema of this version; the test runs on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """Address of a new database without any table; the test runs on both kinds."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A new database with the schema of this version; the test runs on both kinds."""
    database = Database(database_url)
    yield database
    database.dispose()
