"""
An agent on a kernel that cannot confine it has the rights of our user; what it spoils must not act afterwards.

While such an agent is at work, nothing holds against it. These tests are about the time after its end.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moonmind.domain.ports import AgentTree, Remote
from moonmind.workspace.checkout import GitWorkspace
from tests.integration.workspace.conftest import ORDER
from tests.integration.workspace.smart_http import SmartForge, served
from tests.origins import Origin


@pytest.fixture
def tree(workspace: GitWorkspace, origin: Origin, base: str) -> AgentTree:
    return workspace.agent_tree(origin.remote, base, key="agent")


# What an agent that nothing confines does with the rights of our user: from its folder upwards, it makes
# every git folder and every file of git's run the trap, and puts repositories where git could find them.
_HOSTILE = """
import os, pathlib, sys
trap, stop = sys.argv[1:]
config = f'''[core]
	fsmonitor = {trap}
	hooksPath = hooks
	sshCommand = {trap}
	gitProxy = {trap}
	pager = {trap}
[filter "evil"]
	clean = {trap}
	smudge = {trap}
	required = true
[diff "evil"]
	command = {trap}
	textconv = {trap}
[diff]
	external = {trap}
[merge "evil"]
	driver = {trap}
[uploadpack]
	packObjectsHook = {trap}
[extensions]
	worktreeConfig = true
[url "ext::{trap} "]
	insteadOf = file://
	insteadOf = http://
	insteadOf = /
[credential]
	helper = !{trap}
[http]
	proxy = http://127.0.0.1:9
'''

def write(path, text):
    if path.is_dir() or path.is_symlink() or not path.parent.is_dir():
        return
    path.write_text(text)

def spoil(folder, bare=True):
    for part in ("info", "hooks", "objects/info", "objects", "refs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if not bare:
        write(folder / "HEAD", "ref: refs/heads/main\\n")
    write(folder / "config", config)
    write(folder / "config.worktree", config)
    write(folder / "info/attributes", "* filter=evil diff=evil merge=evil\\n")
    write(folder / "info/grafts", "0" * 40)
    write(folder / "objects/info/alternates", "/nonexistent\\n")
    write(folder / "commondir", "../../stolen\\n")
    for hook in ("reference-transaction", "pre-push", "post-index-change", "fsmonitor-watchman", "post-checkout"):
        (folder / "hooks" / hook).unlink(missing_ok=True)
        (folder / "hooks" / hook).symlink_to(trap)

place = pathlib.Path.cwd()
while str(place) != stop:
    place = place.parent
    if place.name in ("agent", "agents", "workspace"):
        spoil(place / ".git", bare=False)
        spoil(place / "ours", bare=False)
        (place / "index").write_text("x")
        for name in os.listdir(place):
            if name.startswith("ours"):
                spoil(place / name, bare=False)
workspace = pathlib.Path(stop)
spoil(workspace / "stolen", bare=False)
for mirror in workspace.glob("mirrors/*.git"):
    spoil(mirror)
(workspace / "git/empty").mkdir(parents=True, exist_ok=True)
spoil(workspace / "git/empty/.git", bare=False)
spoil(workspace / "git/.git", bare=False)
(workspace / "git/empty/.gitconfig").write_text(config)
(workspace / "git/config").write_text(config)
(workspace / "git/askpass").unlink(missing_ok=True)
(workspace / "git/askpass").symlink_to(trap)
"""


@pytest.fixture
def spoilt(tree: AgentTree, root: Path, trap: Path) -> AgentTree:
    """The tree of an agent that had the rights of our user, and used them all."""
    (tree.path / "README.md").write_text("better\n")
    (tree.path / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    subprocess.run([sys.executable, "-c", _HOSTILE, str(trap), str(root)], cwd=tree.path, check=True)
    assert str(trap) in next(root.glob("mirrors/*.git/config")).read_text()
    return tree


def test_what_it_wrote_beside_its_tree_is_not_read(spoilt: AgentTree, ran: Path) -> None:
    patch = spoilt.diff()
    assert b"+better\n" in patch
    assert patch.count(b"diff --git") == 2
    assert not ran.exists()


def test_what_it_wrote_into_every_mirror_does_not_run_when_we_go_on(
    spoilt: AgentTree, workspace: GitWorkspace, origin: Origin, base: str, ran: Path
) -> None:
    patch = spoilt.diff()
    later = origin.commit("main", {"new": b"new\n"})
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") == later
    with workspace.clean_tree(origin.remote, later) as clean:
        clean.apply(patch)
        commit = clean.commit(ORDER)
    workspace.push(origin.remote, branch="moonmind/x", commit=commit, expected=None)
    assert origin.tip("moonmind/x") == workspace.remote_tip(origin.remote, "moonmind/x") == commit
    assert workspace.agent_tree(origin.remote, later, key="next").diff() == b""
    assert not ran.exists()


def test_the_token_goes_to_nobody_although_it_wrote_into_every_mirror(
    spoilt: AgentTree, workspace: GitWorkspace, origin: Origin, base: str, tmp_path: Path, root: Path, ran: Path
) -> None:
    with served(SmartForge(tmp_path / "forge", "ghp_token")) as forge:
        remote = Remote("octo/demo", f"{forge.address}/octo/demo.git", ("http",), token="ghp_token")
        for _ in range(2):
            workspace.fetch(remote)
            for mirror in root.glob("mirrors/*.git"):
                (mirror / "config").write_text(f'[url "http://127.0.0.1:9/"]\n\tinsteadOf = {forge.address}/\n')
        assert workspace.remote_tip(remote, "main") == base
        assert forge.authorizations
    assert not ran.exists()


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a link", "nothing"])
def test_whatever_it_put_in_place_of_a_mirrors_config_is_replaced(
    tree: AgentTree, workspace: GitWorkspace, origin: Origin, root: Path, tmp_path: Path, base: str, what: str
) -> None:
    config = next(root.glob("mirrors/*.git/config"))
    wanted = config.read_bytes()
    config.unlink()
    if what == "a folder":
        (config / "inner").mkdir(parents=True)
    elif what == "a pipe":
        os.mkfifo(config)
    elif what == "a link":
        (tmp_path / "elsewhere").write_text("kept")
        config.symlink_to(tmp_path / "elsewhere")
    assert workspace.branch_tip(origin.remote, "main") == base
    assert (config.is_symlink(), config.read_bytes()) == (False, wanted)
    assert what != "a link" or (tmp_path / "elsewhere").read_text() == "kept"
