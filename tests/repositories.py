"""Make the git repositories that tests plan features in."""

import subprocess
from pathlib import Path

TASKS = """# Tasks: Habits

## Phase 1: Setup

- [x] T001 Make the package

## Phase 2: Story

- [ ] T002 [P] Write the greeting in greeting.txt
- [ ] T003 Write the farewell in farewell.txt

## Phase 3: Polish

- [ ] T004 Write the notes
"""
# Does two tasks and reports one of them.
WRITER = """cat >/dev/null
echo hello >greeting.txt
echo bye >farewell.txt
sed -i 's/- \\[ \\] T002/- [x] T002/' specs/001-habits/tasks.md
"""


def git(folder: Path, *argv: str) -> str:
    """Run git and return what it printed."""
    identity = ["-c", "user.name=Planner", "-c", "user.email=planner@example.invalid"]
    command = ["git", *identity, "-C", str(folder), *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def habit_files(agent: str = WRITER, tasks: str = TASKS) -> dict[str, bytes]:
    """Return the files of a repository with one feature whose second phase is open."""
    return {"specs/001-habits/tasks.md": tasks.encode(), "README.md": b"Habits\n", "agent.sh": agent.encode()}


def plan_repository(folder: Path, forge_root: Path, name: str, files: dict[str, bytes]) -> Path:
    """Make a bare repository in a forge's root with one commit on `main`."""
    bare = forge_root / f"{name}.git"
    bare.parent.mkdir(parents=True, exist_ok=True)
    work = folder / "planner" / name
    work.mkdir(parents=True)
    git(work, "init", "-q", "-b", "main")
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Plan")
    git(work, "clone", "-q", "--bare", str(work), str(bare))
    return bare
