"""Run the real `moonmind up` as a process of its own, over real git repositories and real agents."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.repositories import plan_repository

RUNS = "/api/workflows/speckit/runs"
ENDED = {"succeeded", "failed", "no_work", "cancelled"}
# The agent of all these tests: a shell that knows nothing of this project and runs a script that
# stands in the repository, so that each test brings its own.
AGENT = "sh -e agent.sh"
# Stands in the environment of the service, and must be found nowhere else.
CANARY = "canary-9f2b7c1e5d"


@dataclass
class Service:
    """One data folder, and the process that serves it."""

    data: Path
    agent: str
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What the process sees; nothing else of this machine."""
        return {
            "PATH": f"{os.defpath}:/usr/local/bin",
            "HOME": str(self.data.parent),
            "MOONMIND_DATA_DIR": str(self.data),
            "MOONMIND_PUBLIC_URL": self.url,
            "SPEC_WORKFLOW_FORGE": "local",
            "SPEC_WORKFLOW_AGENT": "command",
            "SPEC_WORKFLOW_AGENT_COMMAND": self.agent,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **self.settings,
        }

    @property
    def client(self) -> httpx.Client:
        """A client with the token that the service wrote."""
        token = (self.data / "operator.token").read_text().strip()
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def moonmind(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run the command as an operator would."""
        command = [sys.executable, "-m", "moonmind.cli", *argv]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=50)

    def start(self) -> None:
        """Start the process and wait until it can serve."""
        command = [sys.executable, "-m", "moonmind.cli", "up"]
        with (self.data.parent / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """End the process as a crash would: no signal that it could handle."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, asked_by: signal.Signals = signal.SIGINT) -> int:
        """End the process as an operator would."""
        if self.process is None:
            return 0
        self.process.send_signal(asked_by)
        code = self.process.wait(40)
        self.process = None
        return code

    @property
    def log(self) -> str:
        """What the process wrote so far."""
        return (self.data.parent / "service.log").read_text(errors="replace")

    def add_repository(self, name: str, files: dict[str, bytes]) -> Path:
        """Make a bare repository with one commit on `main`."""
        return plan_repository(self.data.parent, self.data / "forge", name, files)

    def order(self, **order: Any) -> dict[str, Any]:
        """Order a run that has to be accepted."""
        with self.client as client:
            response = client.post(RUNS, json=order)
        assert response.status_code == 202, response.text
        run: dict[str, Any] = response.json()
        return run

    def wait(self, run_id: str, *, seconds: float = 40) -> dict[str, Any]:
        """Poll a run until it ended."""
        deadline = time.monotonic() + seconds
        with self.client as client:
            while True:
                run: dict[str, Any] = client.get(f"{RUNS}/{run_id}").json()
                if run["status"] in ENDED:
                    return run
                assert time.monotonic() < deadline, f"{run}\n{self.log[-8000:]}"
                time.sleep(0.05)

    def run(self, **order: Any) -> dict[str, Any]:
        """Order a run and wait for its end."""
        return self.wait(self.order(**order)["id"])

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log[-4000:]
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        pytest.fail(f"not ready: {self.log[-4000:]}")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service for tests that need no folder of their own."""
    limits = {"SPEC_WORKFLOW_SUBMIT_IDLE_SECONDS": "1", "SPEC_WORKFLOW_SUBMIT_TIMEOUT_SECONDS": "3"}
    secrets = {"GITHUB_TOKEN": CANARY, "SOME_PASSWORD": CANARY}
    service = Service(tmp_path_factory.mktemp("shared") / "data", AGENT, limits | secrets)
    service.start()
    yield service
    service.kill()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, not started yet; its process ends with the test."""
    service = Service(tmp_path / "data", AGENT)
    yield service
    if service.process is not None:
        service.kill()
