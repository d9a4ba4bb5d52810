"""Lay out what the demonstration shows around a run: the branch it made, its diff, and what to type next."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import moonmind.demo
from moonmind.cli.views import RunView
from moonmind.demo.landing import Landing
from moonmind.demo.sample import REPOSITORY
from moonmind.domain.states import RunStatus

_ROOT = Path(moonmind.demo.__file__).parents[2]
_LABEL_WIDTH = 14
# A screen and a half; a pipe or a file gets all of it.
DIFF_LINES = 60


def fact(label: str, value: str) -> str:
    """Return one line of the list of facts."""
    return f"{label:<{_LABEL_WIDTH}}{value}"


def landing_lines(run: RunView, landing: Landing, *, most_lines: int | None) -> Iterator[str]:
    """Say what the run left on the forge; `most_lines` bounds the diff."""
    yield fact("Branch", run.branch)
    yield fact("Pull request", f"#{run.pr_number}  {run.pr_url}")
    for number, task in enumerate(landing.ticked):
        yield fact("" if number else "Ticked tasks", f"[X] {task}")
    yield ""
    yield "What it changes"
    yield from landing.summary
    yield ""
    yield from landing.diff[:most_lines]
    if most_lines is not None and len(landing.diff) > most_lines:
        yield f"... and {len(landing.diff) - most_lines} lines more; the first command below shows all of them"


def failure_lines(run: RunView) -> Iterator[str]:
    """Say why the run did not succeed."""
    yield f"The run ended as {run.status}."
    if run.failure:
        yield f"{run.failure.message} [{run.failure.code}]"
        yield run.failure.remedy


@dataclass(frozen=True)
class NextSteps:
    """Commands that can be pasted as they are, from the current folder."""

    data: Path
    here: Path

    def after(self, run: RunView) -> Iterator[str]:
        """Say what helps after a run that ended like this one."""
        if run.status == RunStatus.SUCCEEDED:
            return self._after_success(run)
        return self._after_no_work() if run.status == RunStatus.NO_WORK else self._after_failure()

    def _after_success(self, run: RunView) -> Iterator[str]:
        repository = self.shown(self.data / "forge" / f"{REPOSITORY}.git")
        checkout = self.shown(self.data / "checkouts" / run.commit_sha[:12])
        clone = f"git clone --quiet --branch {run.branch} {repository} {checkout}"
        yield from _commands(
            [
                (f"git -C {repository} diff {run.base_branch}...{run.branch}", "the whole diff"),
                (f"{clone} && (cd {checkout} && python3 -m unittest)", "try the branch"),
                (f"{self.again} --serve", "look at the runs in a browser, and with the moonmind command"),
                (self.again, "merge this pull request and take the next phase"),
            ]
        )

    def _after_no_work(self) -> Iterator[str]:
        yield from _commands(
            [
                (
                    f"git -C {self.shown(self.data / 'forge' / f'{REPOSITORY}.git')} log --graph --oneline",
                    "what landed",
                ),
                (f"{self.again} --serve", "look at the runs in a browser, and with the moonmind command"),
                (f"rm -r {self.shown(self.data)} && {self.again}", "begin anew"),
                (f"{self.moonmind} --help", "the command for your own repositories"),
            ]
        )

    def _after_failure(self) -> Iterator[str]:
        yield from _commands(
            [
                (f"tail -n 50 {self.shown(self.data / 'service.log')}", "what the service said"),
                (f"{self.again} --serve", "look at the run in a browser, and with the moonmind command"),
                (self.again, "try again"),
            ]
        )

    def while_serving(self) -> Iterator[str]:
        """Say how to speak to the service from another terminal."""
        prefix = f"MOONMIND_DATA_DIR={self.shown(self.data)} {self.moonmind}"
        yield from _commands(
            [
                (f"{prefix} list", "all runs"),
                (f"{prefix} show last", "the newest one"),
                (f"{prefix} logs last", "what its agent said"),
                (f"cat {self.shown(self.data / 'operator.token')}", "the token for the sign-in page"),
            ]
        )

    @property
    def again(self) -> str:
        """The command that goes on with this demonstration."""
        script = _ROOT / "scripts" / "demo"
        command = self.shown(script) if script.exists() else f"{self.moonmind} demo"
        default = (_ROOT if script.exists() else self.here) / "var" / "demo"
        return command if self.data == default else f"{command} --data-dir {self.shown(self.data)}"

    @property
    def moonmind(self) -> str:
        """The command of this installation."""
        command = Path(sys.prefix) / "bin" / "moonmind"
        if command.exists():
            return self.shown(command)
        return f"{self.shown(Path(sys.executable))} -c 'from moonmind.cli.main import main; main()'"

    def shown(self, path: Path) -> str:
        """Return a path as short as it can be typed here, quoted for the shell."""
        short = path.relative_to(self.here) if path.is_relative_to(self.here) else path
        return shlex.quote(str(short))


def _commands(listed: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "What to type next"
    for command, purpose in listed:
        yield f"  # {purpose}"
        yield f"  {command}"
