"""Remove folders that an agent or a killed git left behind, whatever rights they have."""

import time
from datetime import timedelta
from pathlib import Path

from moonmind.workspace.process import Program, TimeLimitError, run_bounded

_SECONDS = 600.0


def discard(path: Path) -> None:
    """
    Remove a folder, with its read-only parts and trees deeper than Python's own walk can go.

    Repeating is safe, and links are removed rather than followed. What cannot be removed
    stays, for the janitor's next round.
    """
    if _remove(path):
        return
    open_up(path)
    _remove(path)


def discard_old(folder: Path, *, age: timedelta) -> None:
    """Remove what lies in a folder of short-lived things for longer than any of them lives."""
    before = time.time() - age.total_seconds()
    for path in folder.iterdir():
        try:
            is_old = path.lstat().st_mtime < before
        except FileNotFoundError:
            continue
        if is_old:
            discard(path)


def open_up(path: Path) -> None:
    """Give the owner back the rights that an agent took away; links are not followed."""
    _run(path, "chmod", "-R", "u+rwX", "--", str(path))


def _remove(path: Path) -> bool:
    _run(path, "rm", "-rf", "--", str(path))
    return not path.exists() and not path.is_symlink()


def _run(path: Path, *argv: str) -> None:
    program = Program(argv, cwd=path.parent, environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, seconds=_SECONDS)
    try:
        run_bounded(program)
    except (TimeLimitError, FileNotFoundError):
        # The folder's parent is gone, or the disk is too slow; either way the caller sees what is left.
        return
