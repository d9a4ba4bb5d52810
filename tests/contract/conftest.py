"""Serve the real application on a loopback socket, over a real database and file store."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import uvicorn

from api_service.api.dependencies import ApiServices
from api_service.auth.tokens import Role, TokenRepository
from api_service.db.session import Database
from api_service.main import create_app
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.forges.local import LocalForge
from moonmind.testing.agents import ScriptedAgent
from moonmind.workflows import preview_spec_workflow_run
from moonmind.workflows.speckit_celery.storage import FileArtifactStore
from moonmind.workspace.checkout import GitWorkspace


@dataclass
class Served:
    """A running API and what tests may reach behind it."""

    url: str
    database: Database
    store: FileArtifactStore
    forge: LocalForge
    workspace: GitWorkspace
    agent: ScriptedAgent = field(default_factory=lambda: ScriptedAgent(lambda _work: None))
    sent: list[UUID] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    broken_credentials: str = ""

    def check_credentials(self, agent: str) -> None:
        """Refuse a retry when the test says that credentials are broken."""
        if self.broken_credentials:
            raise WorkflowError(FailureCode.CREDENTIALS_INVALID, f"{agent}: {self.broken_credentials}")

    def token(self, role: Role = Role.OPERATOR, *, life: timedelta | None = None) -> str:
        """Make a token of a role."""
        with self.database.transaction() as session:
            tokens = TokenRepository(session, self.database.clock)
            return tokens.create(name=f"test {role.value}", role=role, life=life).text

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client; the caller closes it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    """The application on both kinds of database."""
    yield from serve(database, tmp_path)


@pytest.fixture
def operator(served: Served) -> Iterator[httpx.Client]:
    """A client with an operator's token."""
    with served.client(served.token()) as client:
        yield client


def serve(database: Database, folder: Path) -> Iterator[Served]:
    """Start the application and stop it when the generator is closed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (folder / "forge").mkdir()
        served = Served(
            url=url,
            database=database,
            store=FileArtifactStore(folder / "artifacts"),
            forge=LocalForge(folder / "forge", public_url=url),
            workspace=GitWorkspace(folder / "workspaces"),
        )
        app = create_app(_services(served, lambda: served.missing))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield served
        server.should_exit = True
        thread.join()


def _services(served: Served, ready: Callable[[], Mapping[str, str]]) -> ApiServices:
    return ApiServices(
        database=served.database,
        store=served.store,
        redact=lambda content: content.replace(b"s3cret", b"[redacted]"),
        forge=served.forge,
        check_credentials=served.check_credentials,
        preview=partial(
            preview_spec_workflow_run,
            forge=served.forge,
            workspace=served.workspace,
            agents={"command": served.agent},
            max_tasks=25,
        ),
        courier=served.sent.append,
        ready=ready,
        public_url=served.url,
        agent="command",
        agents=frozenset({"command"}),
        queues=("codex", "codex"),
        grace=timedelta(seconds=60),
        cursor_key=b"k" * 32,
    )
