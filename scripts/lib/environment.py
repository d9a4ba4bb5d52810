"""Make `.venv` from a hashed lock with nothing but a Python; `scripts/lib/setup.sh` calls it when needed."""

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
INSTALLED = VENV / "installed"
RUN_LOCK = ROOT / "requirements.txt"
DEV_LOCK = ROOT / "requirements-dev.txt"
UV_LOCK = ROOT / "scripts" / "lib" / "requirements-uv.txt"

COMMAND = """\
#!/bin/sh
# -P keeps the folder it is called in from offering modules of its own.
exec {python} -P -c 'import sys; from moonmind.cli.main import main; sys.argv[0] = "moonmind"; sys.exit(main())' "$@"
"""
NO_VENV = "On Debian and Ubuntu `apt-get install python3-venv` adds what is missing; then start again."
NO_PACKAGES = "Check the network, the proxy and pip's own configuration, then start again."


class SetupError(Exception):
    """The environment cannot be made; the text says what to do."""


def main(kind: str) -> int:
    """Bring `.venv` up to date for `run` or `dev`; repeating is safe, and so is running twice at once."""
    locks = {"run": (RUN_LOCK,), "dev": (RUN_LOCK, DEV_LOCK)}[kind]
    with _one_at_a_time():
        if _is_current(locks):
            return 0
        begun = time.monotonic()
        try:
            _make(locks)
        except SetupError as error:
            _say(str(error))
            return 1
        _say(f"Ready after {time.monotonic() - begun:.0f} s.")
    return 0


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    # The lock ends with its process, so that a killed run blocks nobody.
    with (ROOT / ".venv.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another script is preparing .venv; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_current(locks: Sequence[Path]) -> bool:
    root = INSTALLED / "root"
    return (
        PYTHON.exists()
        and root.exists()
        and root.read_text().strip() == str(ROOT)
        and all(_same(lock, INSTALLED / lock.name) for lock in locks)
    )


def _same(lock: Path, installed: Path) -> bool:
    return installed.exists() and installed.read_bytes() == lock.read_bytes()


def _make(locks: Sequence[Path]) -> None:
    # From here until the last line the environment counts as unfinished.
    moved = (INSTALLED / "root").exists() and (INSTALLED / "root").read_text().strip() != str(ROOT)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    if moved or not _works():
        _create()
        _install(locks[-1])
    else:
        _say("Updating .venv.")
        try:
            _install(locks[-1])
        except SetupError:
            _create()
            _install(locks[-1])
    _link_project()
    INSTALLED.mkdir()
    for lock in locks:
        shutil.copy(lock, INSTALLED / lock.name)
    (INSTALLED / "root").write_text(f"{ROOT}\n")


def _works() -> bool:
    if not PYTHON.exists():
        return False
    question = "import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
    if _run([PYTHON, "-c", question]).returncode != 0:
        return False
    has_pip = _run([PYTHON, "-m", "pip", "--version"]).returncode == 0
    return has_pip or _run([PYTHON, "-m", "ensurepip"]).returncode == 0


def _create() -> None:
    _say(f"Making .venv with Python {sys.version.split()[0]}; this takes about half a minute, once.")
    # The resolved name holds the version: after a system upgrade the link breaks, and is seen to be broken.
    made = _run([Path(sys.executable).resolve(), "-m", "venv", "--clear", VENV])
    if made.returncode != 0:
        message = f"{_tail(made)}\nThis Python cannot make a virtual environment. {NO_VENV}"
        raise SetupError(message)


def _install(lock: Path) -> None:
    if _has_uv():
        into_venv: list[str | Path] = ["--python", PYTHON, "--compile-bytecode"]
        command = [PYTHON, "-m", "uv", "pip", "install", *into_venv, "--require-hashes", "--requirement", lock]
        if _run(command, **_uv_settings()).returncode == 0:
            return
    _say("Installing with pip, which takes a little longer than uv.")
    installed = _pip("install", "--require-hashes", "--requirement", lock)
    if installed.returncode != 0:
        message = f"{_tail(installed)}\nThe packages of {lock.name} could not be installed. {NO_PACKAGES}"
        raise SetupError(message)


def _has_uv() -> bool:
    if _run([PYTHON, "-m", "uv", "--version"]).returncode == 0:
        return True
    return _pip("install", "--only-binary", ":all:", "--require-hashes", "--requirement", UV_LOCK).returncode == 0


def _uv_settings() -> dict[str, str]:
    # uv does not read pip's configuration; who set a mirror for pip means it for uv too.
    settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "true", "UV_NO_PROGRESS": "true"}
    for line in _pip("config", "list").stdout.splitlines():
        name, _, value = line.partition("=")
        if name.endswith(".index-url") and "UV_DEFAULT_INDEX" not in os.environ:
            settings["UV_DEFAULT_INDEX"] = value.strip("'")
    return settings


def _link_project() -> None:
    # What an editable install would do, without a build and the packages that it needs.
    site_packages = next((VENV / "lib").glob("python3.*")) / "site-packages"
    (site_packages / "moonmind_spec_workflows.pth").write_text(f"{ROOT}\n")
    command = VENV / "bin" / "moonmind"
    command.write_text(COMMAND.format(python=shlex.quote(str(PYTHON))))
    command.chmod(0o755)


def _pip(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return _run([PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments])


def _run(command: Sequence[str | Path], **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **settings},
    )


def _tail(process: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(process.stdout.strip().splitlines()[-8:])


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
