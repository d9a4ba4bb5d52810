"""The token reaches the forge that it is for, and nothing and nobody else."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.workspace.checkout import GitWorkspace
from tests.integration.workspace.conftest import FILES, ORDER, Refused
from tests.integration.workspace.smart_http import SmartForge, served
from tests.origins import Origin

TOKEN = "ghp_ThisIsTheTokenOfTheTests/+="
BRANCH = "moonmind/x"


@pytest.fixture
def forge(tmp_path: Path, origin: Origin) -> Iterator[SmartForge]:
    origin.commit("main", FILES)
    with served(SmartForge(tmp_path / "forge", TOKEN)) as forge:
        yield forge


@pytest.fixture
def remote(forge: SmartForge) -> Remote:
    return Remote("octo/demo", f"{forge.address}/octo/demo.git", ("http",), token=TOKEN)


def pushed(workspace: GitWorkspace, remote: Remote) -> str:
    workspace.fetch(remote)
    base = workspace.branch_tip(remote, "main")
    assert base is not None
    with workspace.clean_tree(remote, base) as tree:
        tree.write("README.md", b"better\n")
        commit = tree.commit(ORDER)
    workspace.push(remote, branch=BRANCH, commit=commit, expected=None)
    return commit


def test_fetch_and_push_go_through(workspace: GitWorkspace, remote: Remote, origin: Origin) -> None:
    commit = pushed(workspace, remote)
    assert origin.tip(BRANCH) == workspace.remote_tip(remote, BRANCH) == commit


@pytest.fixture
def spying_path(tmp_path: Path) -> Path:
    """A folder for PATH whose `git` writes its argv down before it becomes the real one."""
    folder = tmp_path / "spy"
    folder.mkdir()
    spy = folder / "git"
    script = f'printf "%s\\n" "$@" >> {tmp_path}/argv\nexec env PATH=/usr/local/bin:/usr/bin:/bin git "$@"\n'
    spy.write_text(f"#!/bin/sh\n{script}")
    spy.chmod(0o755)
    return folder


def test_it_is_in_no_argument_and_in_no_file(
    root: Path, remote: Remote, forge: SmartForge, spying_path: Path, tmp_path: Path
) -> None:
    surroundings = {"PATH": f"{spying_path}:/usr/bin:/bin", "SECRET_OF_THE_WORKER": "x"}
    workspace = GitWorkspace(root, timeout=timedelta(seconds=20), surroundings=surroundings)
    commit = pushed(workspace, remote)
    workspace.agent_tree(remote, commit, key="agent")
    assert "push" in (tmp_path / "argv").read_text()
    assert forge.authorizations
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert TOKEN.encode() not in content, path
            assert b"ThisIsTheToken" not in content, path


def test_it_is_in_no_process_list_while_git_runs(workspace: GitWorkspace, origin: Origin, remote: Remote) -> None:
    origin.install_hook("pre-receive", "sleep 0.4")
    sampled = _sample_arguments_while(lambda: pushed(workspace, remote))
    assert any("git-remote-http" in arguments for arguments in sampled)
    assert not any("ThisIsTheToken" in arguments for arguments in sampled)


def _sample_arguments_while(action: Callable[[], object]) -> set[str]:
    worker = threading.Thread(target=action)
    worker.start()
    found: set[str] = set()
    while worker.is_alive():
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
        time.sleep(0.02)
    worker.join()
    return found


def test_the_workers_own_variables_do_not_reach_git(root: Path, origin: Origin, tmp_path: Path) -> None:
    origin.commit("main", FILES)
    origin.install_hook("update", f"env > {tmp_path}/seen")
    surroundings = {**os.environ, "SECRET_OF_THE_WORKER": "x", "HTTPS_PROXY": "http://proxy.invalid"}  # noqa: TID251
    workspace = GitWorkspace(root, timeout=timedelta(seconds=20), surroundings=surroundings)
    pushed(workspace, replace(origin.remote, token=TOKEN))
    seen = (tmp_path / "seen").read_text()
    assert "SECRET_OF_THE_WORKER" not in seen
    assert "HTTPS_PROXY=http://proxy.invalid" in seen


def test_a_redirect_to_another_host_is_not_followed(
    workspace: GitWorkspace, forge: SmartForge, remote: Remote, tmp_path: Path, refused: Refused
) -> None:
    with served(SmartForge(tmp_path / "forge", "another token")) as stranger:
        forge.redirect_to = stranger.address
        with refused(FailureCode.REPOSITORY_UNREACHABLE):
            workspace.fetch(remote)
        assert stranger.authorizations == []


def test_the_script_answers_its_own_host_alone(
    workspace: GitWorkspace, forge: SmartForge, remote: Remote, tmp_path: Path, root: Path
) -> None:
    """Should git ever ask on behalf of another host, it is told nothing."""
    workspace.fetch(remote)
    for asked in ("Password for 'http://x-access-token@elsewhere.invalid': ", "Password: ", ""):
        done = subprocess.run(
            [str(root / "git/askpass"), asked],
            env={
                "MM_GIT_TOKEN": TOKEN,
                "MM_GIT_ORIGIN": forge.address,
                "MM_GIT_ORIGIN_WITH_USER": forge.address.replace("//", "//x-access-token@"),
            },
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, b"")


def test_a_wrong_token_is_told_as_such(workspace: GitWorkspace, remote: Remote, refused: Refused) -> None:
    with refused(FailureCode.FORGE_UNAVAILABLE) as caught:
        workspace.fetch(replace(remote, token="wrong-and-secret"))
    assert "credentials" in caught.value.detail
    assert "wrong-and-secret" not in str(caught.value)


def test_a_missing_token_asks_nobody(workspace: GitWorkspace, remote: Remote, refused: Refused) -> None:
    with refused(FailureCode.FORGE_UNAVAILABLE):
        workspace.fetch(replace(remote, token=None))


def test_a_token_that_may_only_read_cannot_push(
    workspace: GitWorkspace, forge: SmartForge, remote: Remote, refused: Refused
) -> None:
    forge.may_push = False
    with refused(FailureCode.FORGE_UNAVAILABLE) as caught:
        pushed(workspace, remote)
    assert "403" in str(caught.value.facts["log"])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, FailureCode.REPOSITORY_NOT_FOUND),
        (500, FailureCode.REPOSITORY_UNREACHABLE),
        (503, FailureCode.REPOSITORY_UNREACHABLE),
    ],
)
def test_an_answer_of_the_forge_becomes_a_failure_with_a_remedy(
    workspace: GitWorkspace, forge: SmartForge, remote: Remote, status: int, code: FailureCode, refused: Refused
) -> None:
    forge.status = status
    with refused(code):
        workspace.fetch(remote)


def test_a_forge_that_is_down_is_unreachable(workspace: GitWorkspace, refused: Refused) -> None:
    with refused(FailureCode.REPOSITORY_UNREACHABLE):
        workspace.fetch(Remote("octo/demo", "http://127.0.0.1:9/octo/demo.git", ("http",), token=TOKEN))


def test_what_the_forge_says_is_stored_without_the_token(
    workspace: GitWorkspace, origin: Origin, remote: Remote, refused: Refused
) -> None:
    origin.install_hook(
        "pre-receive", f"printf 'token is {TOKEN}\\033[31m at https://me:pass@forge.invalid\\n'; exit 1"
    )
    with refused(FailureCode.PUSH_REJECTED) as caught:
        pushed(workspace, remote)
    log = str(caught.value.facts["log"])
    assert "token is ***" in log
    assert "pass@" not in log
    assert "\033" not in log
