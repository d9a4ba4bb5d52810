"""Read from the forge what a run landed there, as a reviewer would see it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moonmind.demo.plain_git import run_git
from moonmind.demo.sample import TASKS_FILE

_FINISHED = re.compile(r"^- \[[xX]\] (T\d{3,} .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Landing:
    """What a branch brings; the lines carry colour codes when they were asked for."""

    ticked: Sequence[str]
    summary: Sequence[str]
    diff: Sequence[str]


def read_landing(repository: Path, *, base: str, head: str, colour: bool) -> Landing:
    """Compare a branch with the branch it is meant for, in a bare repository."""
    colours = f"--color={'always' if colour else 'never'}"
    compare = ["-C", str(repository), "diff", colours, f"{base}...{head}"]
    return Landing(
        ticked=_newly_finished(repository, base=base, head=head),
        summary=run_git(*compare, "--stat").splitlines(),
        diff=run_git(*compare).splitlines(),
    )


def _newly_finished(repository: Path, *, base: str, head: str) -> Sequence[str]:
    before, after = (run_git("-C", str(repository), "show", f"{branch}:{TASKS_FILE}") for branch in (base, head))
    known = set(_FINISHED.findall(before))
    return [task for task in _FINISHED.findall(after) if task not in known]
