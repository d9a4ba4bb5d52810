"""The demonstration takes one phase after the other, and an interrupted one leaves nothing but work to go on with."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
BRANCH = "moonmind/001-habit-streaks/phase-{}"
MAIN = "from moonmind.cli.main import main; main()"


@dataclass(frozen=True)
class Demo:
    """Calls `moonmind demo` as somebody with an empty home would."""

    data: Path
    home: Path

    @property
    def call(self) -> list[str]:
        return [sys.executable, "-c", MAIN, "demo", "--data-dir", str(self.data)]

    @property
    def environment(self) -> dict[str, str]:
        # PATH stays unset: the shell's own default finds git.
        return {"HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    @property
    def repository(self) -> Path:
        return self.data / "forge" / "moonmind" / "sample.git"

    def run(self) -> str:
        """Run one demonstration to its end and return all it said."""
        done = subprocess.run(
            self.call,
            check=False,
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout}\n{self.service_log()}"
        return done.stdout

    @contextmanager
    def started(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [*self.call, *options],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            yield process

    def paste_the_trial_of_the_branch(self, said: str) -> None:
        """Do what the demonstration says to type, from where it was called: the sample's tests have to pass."""
        (command,) = re.findall(r"^  (git clone .*)$", said.split("What to type next")[1], re.MULTILINE)
        tried = subprocess.run(["sh", "-c", command], cwd=self.home, check=False, capture_output=True, text=True)
        assert tried.returncode == 0, tried.stderr
        assert tried.stderr.endswith("OK\n")

    def service_log(self) -> str:
        log = self.data / "service.log"
        return log.read_text() if log.exists() else ""

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def processes(self) -> list[str]:
        """Return the command lines of all processes that have to do with the demonstration's folder."""
        return [line for line in map(self._command_line, Path("/proc").glob("[0-9]*")) if line]

    def _command_line(self, process: Path) -> str:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            command = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
            environment = (process / "environ").read_text(errors="replace")
            works_there = (process / "cwd").readlink().is_relative_to(self.data)
            if works_there or str(self.data) in command or str(self.data) in environment:
                return f"{process.name} {command}"
        return ""


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    home = tmp_path / "home"
    home.mkdir()
    return Demo(data=tmp_path / "demo", home=home)


def wait_until(what: str, is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    pytest.fail(f"{words!r} was never said:\n{said}")


class TestDemo:
    def test_takes_phase_after_phase_until_there_is_no_work(self, demo: Demo) -> None:
        said = demo.run()
        for stage in ("discover", "submit", "apply", "publish", "finalize"):
            assert re.search(rf"{stage} succeeded", said)
        assert f"Branch        {BRANCH.format('3-user-story-1')}\n" in said
        assert re.search(r"Pull request  #1  http://127\.0\.0\.1:\d+/\S+\n", said)
        assert "Ticked tasks  [X] T007 [US1] Count the current streak" in said
        assert "+def current_streak(days: Iterable[date], *, today: date) -> int:" in said
        demo.paste_the_trial_of_the_branch(said)

        said = demo.run()
        assert re.search(r"Reviewer      in your place, this demonstration merged pull request #1", said)
        assert f"Branch        {BRANCH.format('4-user-story-2')}\n" in said

        said = demo.run()
        assert "merged pull request #2" in said
        assert f"Branch        {BRANCH.format('5-polish-cross-cutting-concerns')}\n" in said

        said = demo.run()
        assert "merged pull request #3" in said
        assert "No work: every task of the feature is finished." in said
        subjects = demo.git("log", "--first-parent", "--format=%s", "main").splitlines()
        assert [subject.split(" from ")[0] for subject in subjects[:3]] == [
            f"Merge pull request #{number}" for number in (3, 2, 1)
        ]
        assert demo.processes() == []

    def test_serves_for_a_look_around_and_takes_no_phase(self, demo: Demo) -> None:
        with demo.started("--serve") as process:
            said = read_until(process, "operator.token")
            (command,) = re.findall(r"^  (MOONMIND_DATA_DIR=.* list)$", said, re.MULTILINE)
            listed = subprocess.run(
                ["sh", "-c", command], check=False, cwd=demo.home, env=demo.environment, capture_output=True, text=True
            )
            assert listed.returncode == 0, listed.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        assert "moonmind/" not in demo.git("branch", "--list")
        assert demo.processes() == []


class TestInterruptedDemo:
    @pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
    def test_leaves_no_process_and_can_be_run_again(self, demo: Demo, ending: signal.Signals) -> None:
        with demo.started() as process:
            read_until(process, "submit running")
            process.send_signal(ending)
        wait_until("no process is left", lambda: not demo.processes(), seconds=40)
        said = demo.run()
        assert "was interrupted; it goes on now" in said
        assert f"Branch        {BRANCH.format('3-user-story-1')}\n" in said
        assert "#1  http" in said
