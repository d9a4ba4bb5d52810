"""A push may lose its answer, its worker or its race; the branch is right all the same."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.workspace.checkout import GitWorkspace
from tests.integration.workspace.conftest import ORDER, Refused
from tests.origins import Origin

BRANCH = "moonmind/001-login/phase-1"


@pytest.fixture
def commit(workspace: GitWorkspace, origin: Origin, base: str) -> str:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.write("README.md", b"better\n")
        return tree.commit(ORDER)


def test_an_answer_that_never_comes_is_made_up_for_by_asking(
    origin: Origin, root: Path, base: str, commit: str
) -> None:
    origin.install_hook("post-receive", "sleep 30")
    impatient = GitWorkspace(root, timeout=timedelta(seconds=1))
    report = impatient.push(origin.remote, branch=BRANCH, commit=commit, expected=None)
    assert (report.commit_sha, report.already_there) == (commit, False)
    assert origin.tip(BRANCH) == commit


def test_a_push_that_never_arrives_times_out(
    origin: Origin, root: Path, base: str, commit: str, refused: Refused
) -> None:
    origin.install_hook("pre-receive", "sleep 30; exit 1")
    with refused(FailureCode.GIT_TIMED_OUT):
        GitWorkspace(root, timeout=timedelta(seconds=1)).push(
            origin.remote, branch=BRANCH, commit=commit, expected=None
        )
    assert origin.tip(BRANCH) is None


_PUSH = """
import sys
from datetime import timedelta
from pathlib import Path
from moonmind.domain.ports import Remote
from moonmind.workspace.checkout import GitWorkspace
root, url, branch, commit = sys.argv[1:]
workspace = GitWorkspace(Path(root), timeout=timedelta(seconds=20))
workspace.push(Remote("octo/demo", url, ("file",)), branch=branch, commit=commit, expected=None)
print("answered")
"""


def test_a_worker_killed_between_push_and_answer_finds_its_commit_there(
    workspace: GitWorkspace, origin: Origin, root: Path, base: str, commit: str, tmp_path: Path
) -> None:
    origin.install_hook("post-receive", f"touch {tmp_path}/received; sleep 2")
    arguments = [sys.executable, "-c", _PUSH, str(root), origin.remote.url, BRANCH, commit]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True) as worker:
        while not (tmp_path / "received").exists():
            time.sleep(0.02)
        os.killpg(worker.pid, signal.SIGKILL)
        assert worker.stdout is not None
        assert b"answered" not in worker.stdout.read()
    origin.install_hook("post-receive", "true")
    again = GitWorkspace(root, timeout=timedelta(seconds=20))
    assert again.push(origin.remote, branch=BRANCH, commit=commit, expected=None).already_there
    assert origin.tip(BRANCH) == commit


def test_our_commit_is_found_on_a_host_that_never_had_it(
    origin: Origin, workspace: GitWorkspace, base: str, commit: str, tmp_path: Path
) -> None:
    workspace.push(origin.remote, branch=BRANCH, commit=commit, expected=None)
    elsewhere = GitWorkspace(tmp_path / "another host")
    assert elsewhere.push(origin.remote, branch=BRANCH, commit=commit, expected=None).commit_sha == commit


def test_a_branch_that_moves_while_we_push_is_theirs(
    origin: Origin, workspace: GitWorkspace, base: str, commit: str, tmp_path: Path, refused: Refused
) -> None:
    theirs = origin.commit("theirs", {"theirs": b"theirs"})
    steal = f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/{BRANCH} {theirs}"
    origin.install_hook("pre-receive", steal)
    with refused(FailureCode.BRANCH_MOVED) as caught:
        workspace.push(origin.remote, branch=BRANCH, commit=commit, expected=None)
    assert origin.tip(BRANCH) == theirs
    assert theirs in caught.value.detail


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("error: GH006: Protected branch update failed for refs/heads/x.", FailureCode.BRANCH_PROTECTED),
        ("error: GH013: Repository rule violations found for refs/heads/x.", FailureCode.BRANCH_PROTECTED),
        ("refusing to allow an OAuth App to create or update workflow", FailureCode.PUSH_REJECTED),
        ("we are closed", FailureCode.PUSH_REJECTED),
    ],
)
def test_what_the_forge_says_against_it_is_kept(
    origin: Origin, workspace: GitWorkspace, base: str, commit: str, words: str, code: FailureCode, refused: Refused
) -> None:
    origin.install_hook("pre-receive", f"echo '{words}'; exit 1")
    with refused(code) as caught:
        workspace.push(origin.remote, branch=BRANCH, commit=commit, expected=None)
    assert words in str(caught.value.facts["log"])
    assert "pre-receive hook declined" in caught.value.detail


def test_a_forge_that_is_gone_is_told_with_the_log(
    origin: Origin, workspace: GitWorkspace, base: str, commit: str, refused: Refused
) -> None:
    origin.folder.rename(origin.folder.with_suffix(".moved"))
    with refused(FailureCode.REPOSITORY_NOT_FOUND) as caught:
        workspace.push(origin.remote, branch=BRANCH, commit=commit, expected=None)
    assert "does not appear to be a git repository" in str(caught.value.facts["log"])


def test_only_the_branch_is_pushed_and_nothing_is_remembered(
    origin: Origin, workspace: GitWorkspace, base: str, commit: str, root: Path
) -> None:
    config = next((root / "mirrors").glob("*.git/config")).read_bytes()
    workspace.push(origin.remote, branch=BRANCH, commit=commit, expected=None)
    assert origin.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", f"refs/heads/{BRANCH}"]
    assert next((root / "mirrors").glob("*.git/config")).read_bytes() == config
    assert list((root / "mirrors").glob("*.git/logs")) == []
    assert workspace.branch_tip(origin.remote, BRANCH) is None
