"""Keep the locks complete, hashed, and free of any registry's name, so that every mirror can serve them."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, read

RUN_LOCK = Path("requirements.txt")
DEV_LOCK = Path("requirements-dev.txt")
LOCKS = [RUN_LOCK, DEV_LOCK, Path("scripts/lib/requirements-uv.txt")]
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*])?==(?P<version>\S+)")
_NAME = re.compile(r"^[A-Za-z0-9._-]+")


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_line_of_a_lock_is_a_pin_a_hash_or_a_comment(lock: Path) -> None:
    allowed = re.compile(r"^(\s*#.*|\s+--hash=sha256:[0-9a-f]{64}( \\)?|[A-Za-z0-9._-]+(\[[^]]*])?==\S+.* \\)$")
    assert [line for line in read(lock).splitlines() if not allowed.match(line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_names_no_host(lock: Path) -> None:
    assert re.findall(r"https?:|--(?:index|extra-index|find-links)\S*|\w+\.(?:org|com|io|net)\b", read(lock)) == []


def test_the_locks_agree() -> None:
    run, dev = _pins(RUN_LOCK), _pins(DEV_LOCK)
    assert {name: dev.get(name) for name in run} == run, "run scripts/lock"


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    asked_to_run = _names(project["project"]["dependencies"])
    asked_to_test = _names(project["dependency-groups"]["dev"])
    assert asked_to_run - _pins(RUN_LOCK).keys() == set(), "run scripts/lock"
    assert asked_to_test - _pins(DEV_LOCK).keys() == set(), "run scripts/lock"


def _pins(lock: Path) -> dict[str, str]:
    return {pin["name"]: pin["version"] for line in read(lock).splitlines() if (pin := _PIN.match(line))}


def _names(requirements: Iterable[str]) -> set[str]:
    return {name[0].lower().replace("_", "-") for line in requirements if (name := _NAME.match(line))}
