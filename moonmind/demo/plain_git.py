"""Run git without the settings of the person who runs the demonstration."""

import shutil
import subprocess

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

# Aliases, hooks, signing keys and line-end settings would change the sample's commits and diffs.
_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}


def run_git(*arguments: str, stdin: bytes = b"") -> str:
    """Return what git prints; raises `demo_not_possible` without git, or `CalledProcessError` when git refuses."""
    git = shutil.which("git")
    if git is None:
        raise WorkflowError(FailureCode.DEMO_NOT_POSSIBLE, "git is needed, and there is none on PATH.")
    done = subprocess.run([git, *arguments], input=stdin, env=_ENVIRONMENT, check=True, capture_output=True)
    return done.stdout.decode("utf-8", "replace")
