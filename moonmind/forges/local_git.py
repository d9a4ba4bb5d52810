"""Run git on the local forge's bare repositories with nothing of the host's configuration."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_TIMEOUT_SECONDS = 60
_IDENTITY = ("MoonMind local forge", "forge@moonmind.invalid")


@dataclass(frozen=True)
class GitAnswer:
    """What git said; callers know which exit codes are answers and which are errors."""

    code: int
    output: bytes
    errors: str

    @property
    def line(self) -> str:
        """The first line of the output."""
        return self.output.split(b"\n", 1)[0].decode("utf-8", "replace")


class BareRepository:
    """Git on one bare repository."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tip(self, branch: str) -> str | None:
        """Return the commit of a branch, None where there is no such branch."""
        if "\0" in branch:
            return None
        answer = self.run("show-ref", "--verify", "--hash", "--", f"refs/heads/{branch}", allowed=(0, 128))
        if answer.code != 0 and not answer.errors.endswith("not a valid ref"):
            detail = f"git cannot read {self.path}: {answer.errors}"
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail)
        return answer.line if answer.code == 0 else None

    def default_branch(self) -> str | None:
        """Return the branch that HEAD names, None where it names none."""
        answer = self.run("symbolic-ref", "--quiet", "HEAD", allowed=(0, 1))
        return answer.line.removeprefix("refs/heads/") if answer.code == 0 else None

    def contains(self, commit: str, *, ancestor: str) -> bool:
        """Tell whether `ancestor` is `commit` or lies in its history."""
        return self.run("merge-base", "--is-ancestor", ancestor, commit, allowed=(0, 1, 128)).code == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the youngest common commit, None for unrelated histories."""
        answer = self.run("merge-base", one, other, allowed=(0, 1))
        return answer.line if answer.code == 0 else None

    def keep(self, name: str, commit: str) -> None:
        """Point a ref at a commit, so that git never throws it away; repeating is safe."""
        self.run("update-ref", name, commit)

    def run(self, *arguments: str, allowed: Sequence[int] = (0,), stdin: bytes = b"") -> GitAnswer:
        """
        Run one git command; an exit code outside `allowed` raises `forge_unavailable`.

        Raises `git_timed_out` after a minute.
        """
        argv = ["git", f"--git-dir={self.path}", *arguments]
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
                env=_environment(self.path),
                cwd=self.path,
            )
        except FileNotFoundError as error:
            detail = f"git could not be started for {self.path}: it is not on PATH, or the folder is gone."
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail) from error
        except subprocess.TimeoutExpired as error:
            detail = f"git {arguments[0]} in {self.path} took longer than {_TIMEOUT_SECONDS} seconds."
            raise WorkflowError(FailureCode.GIT_TIMED_OUT, detail) from error
        answer = GitAnswer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace").strip())
        if answer.code not in allowed:
            detail = f"git {arguments[0]} in {self.path} failed ({answer.code}): {answer.errors}"
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail)
        return answer


def _environment(repository: Path) -> Mapping[str, str]:
    """Build the environment from scratch: no system, user or hook configuration takes part."""
    name, email = _IDENTITY
    settings = {
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.quotePath": "false",
        "commit.gpgSign": "false",
        "gc.auto": "0",
        # The operator named this folder; that its files may belong to another user is his affair.
        "safe.directory": str(repository),
    }
    environment = {
        "PATH": _search_path(),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email,
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for index, (key, value) in enumerate(settings.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def _search_path() -> str:
    git = shutil.which("git")
    return os.pathsep.join([*([str(Path(git).parent)] if git else []), os.defpath])
