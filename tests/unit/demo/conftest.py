"""Give each test a checkout of the sample and the script agent to work in it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from moonmind.demo import agent
from moonmind.demo.sample import TASKS_FILE, make_sample


@dataclass(frozen=True)
class Checkout:
    """A working tree of the sample; `ask` runs the script agent as the service runs a command."""

    path: Path

    @property
    def tasks(self) -> str:
        return (self.path / TASKS_FILE).read_text(encoding="utf-8")

    @property
    def open_ids(self) -> list[str]:
        return re.findall(r"^- \[ \] (T\d+)", self.tasks, re.MULTILINE)

    @property
    def changed(self) -> list[str]:
        lines = git(self.path, "status", "--porcelain", "--untracked-files=all").splitlines()
        return [line[3:] for line in lines]

    def ask(self, ids: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Hand a prompt with these tasks to the agent, in an environment that holds nothing."""
        prompt = "\n".join(line for line in self.tasks.splitlines() if line[6:10] in ids)
        return self.say(prompt.replace("- [X]", "- [ ]"))

    def say(self, prompt: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", agent.__file__, "--pause", "0"]
        return subprocess.run(command, check=False, cwd=self.path, input=prompt, capture_output=True, text=True, env={})

    def run_tests(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-m", "unittest"]
        return subprocess.run(command, check=False, cwd=self.path, capture_output=True, text=True, env={})

    def commit(self) -> None:
        git(self.path, "add", "--all")
        git(self.path, "-c", "user.name=A Reviewer", "-c", "user.email=reviewer@example.com", "commit", "-qm", "Work")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="session")
def _cloned_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    git(folder, "clone", "--quiet", str(make_sample(folder / "forge")), "checkout")
    return folder / "checkout"


@pytest.fixture
def checkout(_cloned_sample: Path, tmp_path: Path) -> Checkout:
    return Checkout(shutil.copytree(_cloned_sample, tmp_path / "checkout"))
