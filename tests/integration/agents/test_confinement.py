"""
A confined agent writes in its own folders and reads no secret of the service, whatever it tries.

These tests are about this kernel. Where it has no Landlock, only the last ones say something.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.agents import confinement
from moonmind.agents.command import CommandAgent
from moonmind.agents.supervised import SupervisedOrder, run_supervised
from moonmind.agents.supervision import EndReason
from moonmind.config.settings import read_settings
from moonmind.domain.errors import WorkflowError
from moonmind.domain.ports import AgentOrder
from moonmind.domain.states import AuditStatus
from moonmind.testing.agents import FakeLease
from moonmind.workflows.speckit_celery.services import make_agents

_ROOT = Path(__file__).parents[3]
_LIMIT = timedelta(seconds=20)
needs_landlock = pytest.mark.skipif(not confinement.landlock_version(), reason="this kernel has no Landlock")


@dataclass(frozen=True)
class FolderTree:
    path: Path

    def diff(self) -> bytes:
        return b""


@dataclass(frozen=True)
class Place:
    """A data folder with a secret, the agent's tree deep inside of it, and a neighbour's folder."""

    outside: Path

    @property
    def data(self) -> Path:
        return self.outside / "data"

    @property
    def secret(self) -> Path:
        return self.data / "operator.token"

    @property
    def tree(self) -> Path:
        return self.data / "workspaces/agents/mm-1/tree"

    def agent(self, command: str, *, program: str = "sh") -> CommandAgent:
        return CommandAgent(
            [program, "-c", command],
            parent_environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            wall=_LIMIT,
            idle=_LIMIT,
            hidden=[self.data],
        )

    def run(self, command: str, *, program: str = "sh") -> str:
        """Have a command run as the agent and return what it said; it has to end well."""
        log = self.data / "log.jsonl"
        log.unlink(missing_ok=True)
        order = AgentOrder("mm-1", "the prompt\n", "main", "0" * 40, log, FolderTree(self.tree))
        self.agent(command, program=program).submit(order, lease=FakeLease(), started=lambda _handle: None)
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        return "\n".join(entry["line"] for entry in entries if "line" in entry)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "outside")
    place.tree.mkdir(parents=True)
    place.secret.write_text("mm_1_s3cr3t\n")
    (place.data / "workspaces/agents/mm-2/tree").mkdir(parents=True)
    (place.data / "workspaces/agents/mm-2/tree/file").write_text("s3cr3t of a neighbour\n")
    (place.data / "workspaces/mirrors").mkdir()
    (place.outside / "tool").write_text("#!/bin/sh\necho I am a tool\n")
    (place.outside / "tool").chmod(0o755)
    return place


@needs_landlock
class TestWriting:
    def test_is_free_in_its_own_folders(self, place: Place) -> None:
        said = place.run(
            "set -e; mkdir -p a/b ~/.cache; echo x > a/b/file; mv a/b/file a/moved; ln a/moved a/linked;"
            "mv a/moved ~/x;"
            "mkfifo pipe; ln -s a link; rm pipe link; cp ~/x $TMPDIR/x; : > a/linked;"
            "echo x > /dev/null; echo well > /dev/stdout; cat /dev/stdin"
        )
        assert said == "well\nthe prompt"
        assert [path.name for path in place.tree.iterdir()] == ["a"]

    def test_lets_tests_with_several_processes_run(self, place: Place) -> None:
        program = "import multiprocessing as m; p = m.Pool(2); print(p.map(abs, [-1, -2])); p.close(); p.join()"
        assert place.run(program, program=sys.executable) == "[1, 2]"

    def test_lets_it_commit(self, place: Place) -> None:
        git = "git -c user.name=x -c user.email=x@localhost"
        said = place.run(
            f"set -e; git init --quiet .; echo x > file; git add .; {git} commit --quiet -m x; git log --oneline"
        )
        assert said.endswith(" x")

    @pytest.mark.parametrize(
        "attempt",
        [
            "echo evil > {data}/workspaces/mirrors/config",
            "echo evil >> {secret}",
            "rm {secret}",
            "mv {secret} {data}/moved",
            "ln {secret} here",
            "truncate -s 0 {secret}",
            "mkdir {data}/workspaces/agents/mm-1/ours",
            "ln -s /tmp {data}/workspaces/agents/mm-1/ours",
            "mv $PWD $PWD.away",
            "touch {outside}/file",
            "echo evil > {outside}/tool",
            "touch /tmp/moonmind-confinement",
            "ln -s {outside} out && echo evil > out/tool",
            "setsid sh -c 'echo evil > {outside}/tool'",
            "cd {outside} && touch file",
        ],
    )
    def test_is_refused_elsewhere(self, place: Place, attempt: str) -> None:
        before = listing(place.outside)
        attempt = attempt.format(data=place.data, secret=place.secret, outside=place.outside)
        said = place.run(f"if ( {attempt} ); then echo it worked; else echo refused; fi").splitlines()
        assert "refused" in said
        (place.tree / "out").unlink(missing_ok=True)
        assert listing(place.outside) == before


@needs_landlock
class TestReading:
    def test_is_free_outside_of_the_data_folder(self, place: Place) -> None:
        assert place.run(f"{place.outside}/tool; ls {place.outside}; head -c 4 /etc/passwd > copy") == (
            "I am a tool\ndata\ntool"
        )

    @pytest.mark.parametrize(
        "attempt",
        [
            "cat {secret}",
            "cat ../../mm-2/tree/file",
            "cat /proc/self/root{secret}",
            "ln -s {secret} link && cat link",
            "ln {secret} link && cat link",
            "cp {secret} copy && cat copy",
            "tar c {data} > all && cat all",
            "setsid cat {secret}",
            "unshare --user --map-root-user cat {secret}",
        ],
    )
    def test_of_secrets_is_refused(self, place: Place, attempt: str) -> None:
        attempt = attempt.format(data=place.data, secret=place.secret)
        assert "s3cr3t" not in place.run(f"( {attempt} ); true")

    def test_of_a_folder_that_is_hidden_and_lies_elsewhere_is_refused(self, place: Place) -> None:
        forge = place.outside / "forge"
        forge.mkdir()
        (forge / "file").write_text("s3cr3t")
        order = confined(place, "cat", str(forge / "file"), hidden=(place.data, forge))
        assert run_supervised(order, lease=FakeLease(), started=print).exit_code == 1

    def test_works_where_a_folder_on_the_way_cannot_be_listed(self, place: Place) -> None:
        """As an ordinary user, whom the rights of a folder stop."""
        code = """
        place.outside.chmod(0o300)
        ruleset = Ruleset(writable=[str(place.tree)], hidden=[str(place.data)])
        place.outside.chmod(0o700)
        ruleset.enter()
        (place.tree / "file").write_text("mine")
        print((place.tree / "file").read_text(), readable(place.secret))
        """
        assert entered(place, code, unprivileged=True) == "mine False"


@needs_landlock
class TestProcesses:
    def test_of_others_cannot_be_looked_into(self, place: Place) -> None:
        said = place.run(
            f"cat /proc/{os.getpid()}/environ /proc/$PPID/environ; cat /proc/self/environ | tr '\\0' '\\n'"
        )
        assert said.count("Permission denied") == 2
        assert "HOME=" in said

    def test_of_others_cannot_be_signalled(self, place: Place) -> None:
        if confinement.landlock_version() < 6:
            pytest.skip("this kernel does not confine signals")
        with subprocess.Popen(["sleep", "60"]) as other:
            said = place.run(f"kill -KILL {other.pid} || echo refused; kill -0 $PPID || echo refused; kill -0 $$")
            assert other.poll() is None
            other.send_signal(signal.SIGKILL)
        assert said.count("refused") == 2


@needs_landlock
def test_the_oldest_usable_version_lets_files_be_moved_between_folders(place: Place) -> None:
    code = """
    confinement.landlock_version = lambda: 2
    Ruleset(writable=[str(place.tree)], hidden=[str(place.data)]).enter()
    for name in ("a", "b"):
        (place.tree / name).mkdir()
    (place.tree / "a/file").write_text("moved")
    (place.tree / "a/file").rename(place.tree / "b/file")
    print((place.tree / "b/file").read_text(), readable(place.secret))
    """
    assert entered(place, code) == "moved False"


@needs_landlock
def test_an_agent_that_cannot_be_confined_as_ordered_does_not_start(place: Place) -> None:
    order = confined(place, "touch", "begun", writable=(place.tree, place.outside / "missing"))
    with pytest.raises(WorkflowError, match="missing"):
        run_supervised(order, lease=FakeLease(), started=print)
    assert list(place.tree.iterdir()) == []


@needs_landlock
class TestVerdict:
    def test_names_what_confines(self, place: Place) -> None:
        verdict = place.agent("true").check()
        assert verdict.status is AuditStatus.PASSED
        assert verdict.environment == {"confinement": f"landlock {confinement.landlock_version()}"}

    def test_fails_for_a_program_that_the_agent_could_not_read(self, place: Place) -> None:
        program = place.data / "agent"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        verdict = place.agent("true", program=str(program)).check()
        assert verdict.status is AuditStatus.FAILED
        assert "may not read" in verdict.message


@needs_landlock
@pytest.mark.parametrize("where", ["data/x", "artifacts/x", "forge/x"])
def test_a_worker_hides_its_folders_from_its_agents(tmp_path: Path, where: str) -> None:
    program = tmp_path / where
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    settings = read_settings(
        {
            "MOONMIND_DATA_DIR": str(tmp_path / "data"),
            "SPEC_WORKFLOW_ARTIFACT_ROOT": str(tmp_path / "artifacts"),
            "SPEC_WORKFLOW_LOCAL_FORGE_ROOT": str(tmp_path / "forge"),
            "SPEC_WORKFLOW_AGENT": "command",
            "SPEC_WORKFLOW_AGENT_COMMAND": str(program),
        }
    )
    assert "may not read" in make_agents(settings, {"PATH": "/usr/bin:/bin"})["command"].check().message


# What a kernel without Landlock answers: a filter says that there is no such call.
_WITHOUT_LANDLOCK = """#!{python}
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050026), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


@pytest.fixture
def old_python(tmp_path: Path) -> str:
    """Return a Python that finds itself on a kernel without Landlock."""
    script = tmp_path / "old-python"
    script.write_text(_WITHOUT_LANDLOCK.format(python=sys.executable))
    script.chmod(0o755)
    return str(script)


class TestWithoutLandlock:
    def test_the_agent_runs_and_its_log_says_so_once(
        self, place: Place, old_python: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", old_python)
        end = run_supervised(confined(place, "cat", str(place.secret)), lease=FakeLease(), started=print)
        assert (end.reason, end.exit_code) == (EndReason.EXITED, 0)
        entries = [json.loads(line) for line in (place.data / "log.jsonl").read_text().splitlines()]
        notes = [entry["note"] for entry in entries if entry["stream"] == "launcher"]
        assert len(notes) == 1
        assert notes[0].startswith("Not confined")

    def test_the_verdict_says_so_and_what_can_be_done(self, place: Place, old_python: str) -> None:
        code = "verdict = place.agent('true').check(); print(verdict.environment, verdict.message, verdict.remedy)"
        said = entered(place, code, python=old_python)
        assert said.startswith("{'confinement': 'none'}")
        assert "nothing confines it" in said
        assert "host of its own" in said


def confined(
    place: Place, *argv: str, writable: tuple[Path, ...] | None = None, hidden: tuple[Path, ...] | None = None
) -> SupervisedOrder:
    return SupervisedOrder(
        argv=argv,
        cwd=place.tree,
        env={"PATH": "/usr/bin:/bin"},
        stdin_path=Path("/dev/null"),
        log_path=place.data / "log.jsonl",
        wall=_LIMIT,
        idle=_LIMIT,
        writable=writable or (place.tree,),
        hidden=hidden or (place.data,),
    )


_ENTERED = """
import ctypes, sys
from pathlib import Path
from moonmind.agents import confinement
from moonmind.agents.confinement import Ruleset
from tests.integration.agents.test_confinement import Place

def readable(path):
    try:
        return bool(path.read_text())
    except PermissionError:
        return False

ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
place = Place(Path(sys.argv[1]))
"""
# Without these two capabilities even root may do no more than any owner.
_DROP = "import ctypes, os, sys\nfor number in (1, 2): ctypes.CDLL(None).prctl(24, number, 0, 0, 0)\n"
_AGAIN = "os.execv(sys.executable, [sys.executable, '-c', sys.argv[2], sys.argv[1]])"


def entered(place: Place, code: str, *, python: str = sys.executable, unprivileged: bool = False) -> str:
    """Run code in a process that may confine itself, and return what it printed."""
    whole = _ENTERED + textwrap.dedent(code)
    argv = [python, "-c", whole, str(place.outside)]
    if unprivileged:
        argv = [python, "-c", _DROP + _AGAIN, str(place.outside), whole]
    done = subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def listing(folder: Path) -> dict[str, bytes | None]:
    """Return what is there, besides the agent's log."""
    found = (path for path in sorted(folder.rglob("*")) if path.name != "log.jsonl")
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}
