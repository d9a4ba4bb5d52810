"""Make repositories with features to work on, cheaply: one run is active for each feature at a time."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FEATURES_PER_REPOSITORY = 4
_OWNER = "proof"
_STAMP = 1_700_000_000
_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


@dataclass(frozen=True)
class Feature:
    """What one run is ordered for."""

    repository: str
    key: str

    @property
    def result_path(self) -> str:
        """The file in which the agent leaves the number of its submission."""
        return f"specs/{self.key}/result.txt"


def feature_of(number: int) -> Feature:
    """Return the feature of the run with this number; several share a repository, and so its mirror and its forge."""
    return Feature(
        repository=f"{_OWNER}/r{number // _FEATURES_PER_REPOSITORY:04d}",
        key=f"{number % _FEATURES_PER_REPOSITORY + 1:03d}-feature",
    )


def make_repository(forge_root: Path, feature: Feature) -> None:
    """Make the bare repository of a feature unless it is there; its branches keep a log of all their commits."""
    bare = repository_path(forge_root, feature)
    if bare.exists():
        return
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(bare))
    git("-C", str(bare), "config", "core.logAllRefUpdates", "true")
    git("-C", str(bare), "fast-import", "--quiet", stdin=b"".join(_stream()))


def repository_path(forge_root: Path, feature: Feature) -> Path:
    """Return where the bare repository of a feature is."""
    return forge_root / f"{feature.repository}.git"


def git(*arguments: str, stdin: bytes = b"") -> str:
    """Run git without anybody's settings; raises `CalledProcessError` when it refuses."""
    # By its full path: without the settings of the environment there is no PATH to find it on.
    program = shutil.which("git") or "git"
    done = subprocess.run([program, *arguments], input=stdin, env=_ENVIRONMENT, check=True, capture_output=True)
    return done.stdout.decode("utf-8", "replace")


def _stream() -> Iterator[bytes]:
    yield f"commit refs/heads/main\ncommitter Planner <planner@example.invalid> {_STAMP} +0000\n".encode()
    yield _data("Plan\n")
    for number in range(_FEATURES_PER_REPOSITORY):
        key = feature_of(number).key
        yield f"M 100644 inline specs/{key}/tasks.md\n".encode()
        yield _data("# Tasks\n\n## Phase 1: Proof\n\n- [ ] T001 Leave the number of the submission in result.txt\n")
    yield b"done\n"


def _data(text: str) -> bytes:
    return b"data %d\n%s\n" % (len(text.encode()), text.encode())
