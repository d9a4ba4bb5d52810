"""Make the sample repository: a small Python library with a feature that Spec Kit planned."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from moonmind.demo.plain_git import run_git

REPOSITORY = "moonmind/sample"
FEATURE_KEY = "001-habit-streaks"
TASKS_FILE = f"specs/{FEATURE_KEY}/tasks.md"
DEFAULT_BRANCH = "main"

# Each file carries the suffix .txt, so that no tool of this project takes it for our own code.
_FILES = Path(__file__).parent / "sample_files"
_SUFFIX = ".txt"
_AUTHOR = "Mira Sample <mira@habitlog.example>"
_TICKED = re.compile(r"^- \[X\] (T\d{3,})", re.MULTILINE)


@dataclass(frozen=True)
class _Commit:
    """One step of the history: which files it adds, and which tasks are finished after it."""

    message: str
    at: datetime
    adds: tuple[str, ...]
    finished: frozenset[str]


_SETUP = frozenset({"T001", "T002", "T003"})
_FOUNDATIONAL = _SETUP | {"T004", "T005", "T006"}

_HISTORY = (
    _Commit(
        "Plan habit streaks with Spec Kit",
        datetime(2026, 1, 6, 19, 30, tzinfo=UTC),
        (".specify/", "specs/"),
        frozenset(),
    ),
    _Commit(
        "Set up the package (T001-T003)",
        datetime(2026, 1, 7, 20, 5, tzinfo=UTC),
        (".gitignore", "pyproject.toml", "README.md", "src/habitlog/__init__.py", "tests/__init__.py"),
        _SETUP,
    ),
    _Commit(
        "Keep habits in a text file (T004-T006)",
        datetime(2026, 1, 9, 21, 40, tzinfo=UTC),
        ("src/", "tests/"),
        _FOUNDATIONAL,
    ),
)


def make_sample(forge_root: Path) -> Path:
    """
    Make the bare repository below the forge's root and return its path.

    Repeating it is safe: a repository that is there is left alone, whatever has been merged into it.
    It is built beside its place and renamed, so a half-made one is never seen.
    """
    place = forge_root / f"{REPOSITORY}.git"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".sample-") as folder:
        made = Path(folder) / "sample.git"
        run_git("init", "--quiet", "--bare", str(made))
        run_git("-C", str(made), "symbolic-ref", "HEAD", f"refs/heads/{DEFAULT_BRANCH}")
        run_git("-C", str(made), "fast-import", "--quiet", stdin=b"".join(_fast_import_stream()))
        made.rename(place)
    return place


def read_files() -> Mapping[str, str]:
    """Return the text of each file of the sample by its path, as the last commit has it."""
    files = sorted(_FILES.rglob(f"*{_SUFFIX}"))
    return {
        file.relative_to(_FILES).as_posix().removesuffix(_SUFFIX): file.read_text(encoding="utf-8") for file in files
    }


def _fast_import_stream() -> Iterator[bytes]:
    remaining = dict(read_files())
    tasks = remaining[TASKS_FILE]
    for commit in _HISTORY:
        added = {path: remaining.pop(path) for path in list(remaining) if path.startswith(commit.adds)}
        yield _commit_lines(commit, {**added, TASKS_FILE: _with_finished(tasks, commit.finished)})
    yield b"done\n"


def _commit_lines(commit: _Commit, files: Mapping[str, str]) -> bytes:
    stamp = int(commit.at.timestamp())
    head = f"commit refs/heads/{DEFAULT_BRANCH}\ncommitter {_AUTHOR} {stamp} +0000\n".encode()
    blobs = (f"M 100644 inline {path}\n".encode() + _data(text) for path, text in sorted(files.items()))
    return head + _data(f"{commit.message}\n") + b"".join(blobs)


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)


def _with_finished(tasks: str, finished: Iterable[str]) -> str:
    ids = set(finished)
    return _TICKED.sub(lambda task: f"- [{'X' if task[1] in ids else ' '}] {task[1]}", tasks)
