"""Run the embedded service of a demonstration as a process that never outlives it."""

import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from moonmind.demo import agent, guardian
from moonmind.demo.folder import DemoFolder
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_START_SECONDS = 90.0
_LOOK_SECONDS = 0.1
_LOG_LINES = 15
_ROOT = Path(guardian.__file__).parents[2]
# Whatever else is set belongs to another service: its database, its broker, its tokens.
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


@contextmanager
def embedded_service(folder: DemoFolder, *, lock: int, environment: Mapping[str, str]) -> Iterator[str]:
    """
    Start `moonmind up`, wait until it is ready, yield its address, and stop it in the end.

    Repeating it is safe: the service takes up whatever an earlier one left unfinished in the folder.
    The folder stays locked until the service has ended, however this process ends. Raises
    `demo_not_possible` with the service's last words.
    """
    url = f"http://127.0.0.1:{_free_port(folder.last_port)}"
    # -P keeps the folder it runs in from offering modules of its own.
    up = [sys.executable, "-P", "-c", "from moonmind.cli.main import main; main()", "up"]
    kept = {name: environment[name] for name in _KEPT if name in environment}
    with folder.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", guardian.__file__, *up],
            cwd=folder.path,
            env={**kept, "PYTHONPATH": str(_ROOT), **service_settings(folder, url)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
        )
    # Leaving the context closes the pipe, and that ends the guardian and the service.
    with process:
        _wait_until_ready(process, url, folder)
        yield url


def service_settings(folder: DemoFolder, url: str) -> Mapping[str, str]:
    """Return the settings of the service: everything local, and the script as its agent."""
    return {
        "MOONMIND_DATA_DIR": str(folder.path),
        "MOONMIND_PUBLIC_URL": url,
        "SPEC_WORKFLOW_FORGE": "local",
        "SPEC_WORKFLOW_LOCAL_FORGE_ROOT": str(folder.forge_root),
        "SPEC_WORKFLOW_AGENT": "command",
        "SPEC_WORKFLOW_AGENT_COMMAND": shlex.join([sys.executable, "-I", agent.__file__]),
    }


def _free_port(preferred: int | None) -> int:
    """Prefer the port of the last time, so that the links of its pull requests go on working."""
    for port in (preferred or 0, 0):
        with socket.socket() as probe:
            # A connection of the last time that has not timed out yet does not occupy the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise WorkflowError(FailureCode.DEMO_NOT_POSSIBLE, "No port is free on 127.0.0.1.")


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, folder: DemoFolder) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(url):
        if process.poll() is not None:
            raise _not_started(folder, "The service ended while it started.")
        if time.monotonic() > deadline:
            raise _not_started(folder, f"The service was not ready after {_START_SECONDS:.0f} s.")
        time.sleep(_LOOK_SECONDS)


def _is_ready(url: str) -> bool:
    # Without proxies: the service is on this host, whatever the environment says of others.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(f"{url}/health/ready", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (URLError, OSError):
        return False


def _not_started(folder: DemoFolder, what: str) -> WorkflowError:
    words = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return WorkflowError(FailureCode.DEMO_NOT_POSSIBLE, "\n".join([f"{what} The end of {folder.log}:", *words]))
