"""Run the API and several workers as processes of their own, over a real broker and PostgreSQL."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from sqlalchemy import make_url

from api_service.auth.tokens import Role, TokenRepository
from api_service.db.session import Database
from tests.engines.listening import free_port
from tests.repositories import WRITER, git, habit_files, plan_repository
from tests.services_postgresql import PostgresqlServer
from tests.services_rabbitmq import RabbitmqServer
from tests.services_redis import RedisServer

ROOT = Path(__file__).parents[2]
RUNS = "/api/workflows/speckit/runs"
ENDED = {"succeeded", "failed", "no_work", "cancelled"}
BRANCH = "moonmind/001-habits/phase-2-story"
LEASE_SECONDS = 3
MOONMIND_WORKER = [sys.executable, "-m", "moonmind.cli", "worker"]
CELERY_WORKER = [sys.executable, "-m", "celery", "-A", "celery_worker.speckit_worker", "worker"]

Broker = RedisServer | RabbitmqServer


@dataclass
class Process:
    """One started process and what it wrote."""

    popen: subprocess.Popen[bytes]
    log_file: Path
    folder: Path

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_file.read_text(errors="replace")

    def received(self, stage: str) -> int:
        """Count the messages for a stage that a worker took."""
        return len(re.findall(rf"Task speckit\.{stage}\[[^]]*\] received", self.log))

    def started(self, stage: str) -> int:
        """Count the claims of a stage that a worker made."""
        return sum('"stage_started"' in line and f'"stage": "{stage}"' in line for line in self.log.splitlines())

    def signal_inner(self, number: signal.Signals) -> None:
        """Send a signal to its only child."""
        children = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text()
        os.kill(int(children), number)

    def wait_for(self, text: str, *, seconds: float = 30) -> None:
        """Wait until it wrote something."""
        until(
            lambda: re.search(text, self.log) or self.popen.poll() is not None,
            seconds=seconds,
            what=lambda: f"{text!r} in {self.log[-4000:]}",
        )
        assert re.search(text, self.log), self.log[-4000:]

    def kill(self) -> None:
        """End it as a crash would."""
        self.popen.kill()
        self.popen.wait(10)

    def stop(self, asked_by: signal.Signals = signal.SIGTERM) -> int:
        """End it as an operator would and return its exit code."""
        self.popen.send_signal(asked_by)
        return self.popen.wait(40)


@dataclass
class Stack:
    """One database, one broker, and the processes that a test starts on them."""

    folder: Path
    broker_url: str
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def environment(self, host: str) -> dict[str, str]:
        """What the processes of one host see: its own data folder, and what all hosts share."""
        lease = {
            "SPEC_WORKFLOW_STAGE_LEASE_SECONDS": str(LEASE_SECONDS),
            "SPEC_WORKFLOW_HEARTBEAT_SECONDS": "0.75",
            "SPEC_WORKFLOW_SWEEP_SECONDS": "0.3",
            "SPEC_WORKFLOW_PENDING_GRACE_SECONDS": "4",
            "SPEC_WORKFLOW_POLL_SECONDS": "1",
        }
        return {
            "PATH": f"{os.defpath}:/usr/local/bin",
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "MOONMIND_DATA_DIR": str(self.folder / host),
            "MOONMIND_PUBLIC_URL": self.url,
            "MOONMIND_LOG_FORMAT": "json",
            "DATABASE_URL": self.database_url,
            "CELERY_BROKER_URL": self.broker_url,
            "SPEC_WORKFLOW_ARTIFACT_ROOT": str(self.folder / "artifacts"),
            "SPEC_WORKFLOW_PUBLISH_QUEUE": "publish",
            "SPEC_WORKFLOW_FORGE": "local",
            "SPEC_WORKFLOW_LOCAL_FORGE_ROOT": str(self.folder / "forge"),
            "SPEC_WORKFLOW_AGENT": "command",
            "SPEC_WORKFLOW_AGENT_COMMAND": "sh -e agent.sh",
            **lease,
            **self.settings,
        }

    def start(self, command: list[str], *, host: str = "host", settings: Mapping[str, str] | None = None) -> Process:
        """Start a process on one of the pretended hosts."""
        log_file = self.folder / f"process-{next(self._numbers)}.log"
        environment = {**self.environment(host), **(settings or {})}
        with log_file.open("ab") as log:
            popen = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(Process(popen, log_file, self.folder / host))
        return self.processes[-1]

    def start_worker(
        self,
        *options: str,
        host: str = "host",
        by: list[str] = MOONMIND_WORKER,
        settings: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a worker and wait until it takes messages."""
        worker = self.start([*by, *options], host=host, settings=settings)
        worker.wait_for(r" ready\.")
        return worker

    def start_api(self) -> Process:
        """Start the API and wait until it answers."""
        api = self.start([sys.executable, "-m", "moonmind.cli", "api", "--port", str(self.port)], host="api")
        until(self.answers, what=lambda: f"the API: {api.log[-4000:]}")
        return api

    def answers(self) -> bool:
        """Say whether the API is there."""
        try:
            return httpx.get(f"{self.url}/health/live", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def client(self) -> httpx.Client:
        """A client with an operator's token."""
        file = self.folder / "token"
        if not file.exists():
            database = Database(self.database_url)
            with database.transaction() as session:
                token = TokenRepository(session, database.clock).create(name="tests", role=Role.OPERATOR)
            database.dispose()
            file.write_text(token.text)
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {file.read_text()}"}, timeout=20)

    def add_repository(self, name: str, agent: str = WRITER) -> Path:
        """Make a bare repository whose next phase the agent script does."""
        return plan_repository(self.folder, self.folder / "forge", name, habit_files(agent))

    def order(self, repository: str) -> str:
        """Order a run that has to be accepted, and return its id."""
        response = self.post(repository)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def post(self, repository: str) -> httpx.Response:
        """Order a run."""
        with self.client as client:
            return client.post(RUNS, json={"repository": repository})

    def run(self, run_id: str) -> dict[str, Any]:
        """Read a run."""
        with self.client as client:
            document: dict[str, Any] = client.get(f"{RUNS}/{run_id}").json()
        return document

    def wait(self, run_id: str, *, seconds: float = 30) -> dict[str, Any]:
        """Poll a run until it ended."""
        until(lambda: self.run(run_id)["status"] in ENDED, seconds=seconds, what=lambda: self.report(run_id))
        return self.run(run_id)

    def wait_for_stage(self, run_id: str, stage: str) -> None:
        """Wait until a stage of a run is at work."""

        def is_running() -> bool:
            tasks = self.run(run_id)["tasks"]
            return any(task["taskName"] == stage and task["status"] == "running" for task in tasks)

        until(is_running, what=lambda: self.report(run_id))

    def report(self, run_id: str) -> str:
        """Tell all there is to know about a run that went astray."""
        logs = "\n".join(f"--- {process.log_file.name}\n{process.log[-3000:]}" for process in self.processes)
        return f"{json.dumps(self.run(run_id), indent=1)[:3000]}\n{logs}"

    def end(self, *, keep: int = 0) -> None:
        """End every process that still runs, but for the first ones."""
        for process in self.processes[keep:]:
            if process.popen.poll() is None:
                process.kill()
        del self.processes[keep:]


class Supervisor:
    """Starts the workers of some hosts, and starts each again when it ends."""

    def __init__(self, stack: Stack, *, hosts: tuple[str, ...]) -> None:
        self._stack = stack
        self._workers = {host: stack.start(MOONMIND_WORKER, host=host) for host in hosts}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        for worker in self._workers.values():
            worker.wait_for(r" ready\.")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            for host, worker in self._workers.items():
                if worker.popen.poll() is not None:
                    self._workers[host] = self._stack.start(MOONMIND_WORKER, host=host)


def until(condition: Callable[[], object], *, what: Callable[[], str], seconds: float = 30) -> float:
    """Wait for something and return how many seconds it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            pytest.fail(f"not within {seconds} s: {what()}")
        time.sleep(0.05)
    return time.monotonic() - started


def crashes(run: Mapping[str, Any]) -> int:
    """Count the crashes of all stages of a run."""
    return sum(task["payload"]["crashes"] for task in run["tasks"])


def assert_landed_once(run: Mapping[str, Any], bare: Path) -> None:
    """Require the one branch with one commit and the one pull request."""
    assert run["status"] == "succeeded", run["failure"]
    heads = git(bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    assert heads == ["main", BRANCH]
    assert git(bare, "rev-list", "--count", f"main..{BRANCH}").strip() == "1"
    requests = [json.loads(path.read_text()) for path in bare.with_name(bare.stem + ".pulls").glob("*.json")]
    assert [(request["number"], request["head"], request["state"]) for request in requests] == [(1, BRANCH, "open")]


@pytest.fixture(scope="session", params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """A running broker; the test runs on both kinds, and leaves a running one to the next."""
    name = {"redis": "_redis_server_of_session", "rabbitmq": "rabbitmq_server"}[request.param]
    server: Broker = request.getfixturevalue(name)
    return server


@pytest.fixture(scope="session")
def _stack_of_session(
    broker: Broker,
    postgresql_server: PostgresqlServer,
    _migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    name = postgresql_server.create_database(template=_migrated_template)
    postgresql_server.keep_commits(name)
    stack = Stack(tmp_path_factory.mktemp("stack"), broker.url, postgresql_server.url(name))
    stack.start_api()
    yield stack
    stack.end()


@pytest.fixture
def stack(_stack_of_session: Stack) -> Iterator[Stack]:
    """An API over a broker and a database; the test adds workers, which end with it."""
    stack = _stack_of_session
    yield stack
    stack.end(keep=1)


@pytest.fixture
def own_stack(postgresql_server: PostgresqlServer, postgresql_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A stack of the test's own: nothing is started yet, and its broker is not there."""
    postgresql_server.keep_commits(str(make_url(postgresql_url).database))
    stack = Stack(tmp_path, f"redis://127.0.0.1:{free_port()}/0", postgresql_url)
    yield stack
    stack.end()
