"""Give the tests a forge on disk, a workspace on git, and an eye on everything beside it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import CommitOrder
from moonmind.workspace.checkout import GitWorkspace
from tests.origins import Origin

ORDER = CommitOrder("Do it\n", "MoonMind", "bot@example.org", datetime(2026, 11, 24, 12, tzinfo=UTC))
FILES = {"README.md": b"# Demo\n", "src/app.py": b"a\nb\nc\nd\n", "specs/001-login/tasks.md": b"- [ ] T001 one\n"}
Refused = Callable[[FailureCode], "pytest.RaisesExc[WorkflowError]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace's own folder."""
    return tmp_path / "workspace"


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """An empty repository on the forge's side."""
    return Origin(tmp_path / "forge")


@pytest.fixture
def workspace(root: Path) -> GitWorkspace:
    """A workspace that waits no longer than a test may."""
    return GitWorkspace(root, timeout=timedelta(seconds=20))


@pytest.fixture
def base(origin: Origin, workspace: GitWorkspace) -> str:
    """A first commit, fetched."""
    commit = origin.commit("main", FILES)
    workspace.fetch(origin.remote)
    return commit


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file that every trap in these tests creates when it is sprung."""
    return tmp_path / "ran"


@pytest.fixture
def trap(tmp_path: Path, ran: Path) -> Path:
    """A program that must never run; as a filter it would pass its input through."""
    script = tmp_path / "trap"
    script.write_text(f'#!/bin/sh\necho "$0 $@" >> {ran}\nexec cat\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def outside(tmp_path: Path, root: Path) -> Callable[[], dict[str, bytes | str]]:
    """What is on disk beside the workspace; compare before and after."""

    def look() -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        for path in sorted(tmp_path.rglob("*")):
            if root not in path.parents and path != root and "forge" not in path.relative_to(tmp_path).parts:
                kept = path.is_symlink() or not path.is_file()
                found[str(path)] = str(path.is_dir()) if kept else path.read_bytes()
        return found

    return look


@pytest.fixture
def refused() -> Refused:
    """Expect a failure with a code."""

    def expect(code: FailureCode) -> "pytest.RaisesExc[WorkflowError]":
        return pytest.raises(WorkflowError, check=lambda error: error.code is code)

    return expect
