"""An agent may leave anything in its tree; reading its work must neither run it nor lose it in silence."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import AgentTree
from moonmind.workspace.agent_folders import agent_tree_keys, remove_agent_trees
from moonmind.workspace.agent_tree import GitAgentTree
from moonmind.workspace.checkout import GitWorkspace
from moonmind.workspace.git import Git, Repository
from moonmind.workspace.mirror import Mirror
from tests.integration.workspace.conftest import FILES, Refused
from tests.origins import Origin, plain_git


@pytest.fixture
def tree(workspace: GitWorkspace, origin: Origin, base: str) -> AgentTree:
    return workspace.agent_tree(origin.remote, base, key="agent")


# Root may read everything; without these two capabilities it may do what any owner may.
_WITHOUT_PRIVILEGES = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
_ARRANGED = """
from datetime import timedelta
from pathlib import Path
from moonmind.workspace.agent_tree import GitAgentTree
from moonmind.workspace.checkout import GitWorkspace
from moonmind.workspace.git import Git
from moonmind.workspace.mirror import Mirror
root = Path({root!r})
mirror = Mirror(Git(root / "git", timedelta(seconds=20)), next(root.glob("mirrors/*.git")))
tree = GitAgentTree(mirror, root / "agents/agent", {base!r})
"""


@pytest.fixture
def unprivileged(tree: AgentTree, root: Path, base: str) -> Callable[[str], str]:
    """Run code as an ordinary user, who is stopped by the rights that the agent took away."""

    def run(code: str) -> str:
        whole = _ARRANGED.format(root=str(root), base=base) + code
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_PRIVILEGES, whole], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def commit_all(folder: Path) -> str:
    plain_git("add", "--all", cwd=folder)
    plain_git("commit", "--quiet", "-m", "mine", cwd=folder)
    return plain_git("rev-parse", "HEAD", cwd=folder)


def set_traps(git_folder: Path, trap: Path) -> None:
    config = f"[core]\n\tfsmonitor = {trap}\n\thooksPath = {git_folder}/hooks\n\tpager = {trap}\n\teditor = {trap}\n"
    config += f'[filter "evil"]\n\tclean = {trap}\n\tsmudge = {trap}\n\tprocess = {trap}\n\trequired = true\n'
    config += f'[diff "evil"]\n\tcommand = {trap}\n\ttextconv = {trap}\n[diff]\n\texternal = {trap}\n'
    with (git_folder / "config").open("a") as file:
        file.write(config)
    (git_folder / "info").mkdir(exist_ok=True)
    (git_folder / "info/attributes").write_text("* filter=evil diff=evil\n")
    (git_folder / "hooks").mkdir(exist_ok=True)
    for hook in ("pre-commit", "post-index-change", "post-checkout", "fsmonitor-watchman", "reference-transaction"):
        (git_folder / "hooks" / hook).symlink_to(trap)


def test_its_own_commits_branches_and_rewrites_are_part_of_the_difference(tree: AgentTree) -> None:
    (tree.path / "committed").write_text("1\n")
    commit_all(tree.path)
    (tree.path / "staged").write_text("2\n")
    plain_git("add", "staged", cwd=tree.path)
    (tree.path / "untracked").write_text("3\n")
    before = tree.diff()
    plain_git("checkout", "--quiet", "--orphan", "elsewhere", cwd=tree.path)
    plain_git("branch", "--delete", "--force", "work", cwd=tree.path)
    assert tree.diff() == before
    for name in (b"committed", b"staged", b"untracked"):
        assert b"+++ b/" + name in before


def test_what_it_configured_does_not_run(tree: AgentTree, trap: Path, ran: Path) -> None:
    set_traps(tree.path / ".git", trap)
    (tree.path / ".gitattributes").write_text("* filter=evil diff=evil text eol=crlf working-tree-encoding=UTF-16\n")
    (tree.path / "README.md").write_bytes(b"bytes\r\n")
    patch = tree.diff()
    assert b"+bytes\r\n" in patch
    assert b"+++ b/.gitattributes" in patch
    assert not ran.exists()


@pytest.mark.parametrize("head", ["its own commit", "the recorded commit"])
def test_a_repository_in_a_submodules_place_does_not_run(
    workspace: GitWorkspace, origin: Origin, base: str, trap: Path, ran: Path, head: str
) -> None:
    """
    With the submodule in its index, `git add` runs `git status` inside it, and with that its filters.

    It does so when the submodule's HEAD is the recorded commit, which a line of text can claim.
    """
    recorded = "1" * 40
    commit = origin.commit("main", {"sub": recorded.encode()}, modes={"sub": "160000"})
    workspace.fetch(origin.remote)
    tree = workspace.agent_tree(origin.remote, commit, key="agent")
    inner = tree.path / "sub"
    plain_git("init", "--quiet", str(inner))
    (inner / "file").write_text("1\n")
    made = commit_all(inner)
    set_traps(inner / ".git", trap)
    (inner / "file").write_text("2\n")
    if head == "the recorded commit":
        (inner / ".git/HEAD").write_text(f"{recorded}\n")
    patch = tree.diff()
    assert patch.count(f"-Subproject commit {recorded}\n+Subproject commit {made}\n".encode()) == (
        head != "the recorded commit"
    )
    assert not ran.exists()


def test_even_in_a_repository_of_its_making_our_git_starts_no_monitor_and_no_hook(
    tree: AgentTree, root: Path, trap: Path, ran: Path
) -> None:
    """The second line of defence: nothing should ever bring us there."""
    set_traps(tree.path / ".git", trap)
    (tree.path / ".git/info/attributes").unlink()
    theirs = Repository(_git_of(root), tree.path / ".git", work_tree=tree.path)
    theirs.run("status")
    theirs.run("reset", "--hard")
    theirs.run("commit", "--allow-empty", "-m", "x")
    theirs.run("checkout", "-b", "other")
    assert not ran.exists()


def test_a_submodule_that_it_filled_or_removed_is_not_hidden(
    workspace: GitWorkspace, origin: Origin, base: str
) -> None:
    modes = {"filled": "160000", "gone": "160000", "left": "160000"}
    commit = origin.commit("main", dict.fromkeys(modes, b"1" * 40), modes=modes)
    workspace.fetch(origin.remote)
    tree = workspace.agent_tree(origin.remote, commit, key="agent")
    (tree.path / "filled/file").write_text("x\n")
    (tree.path / "gone").rmdir()
    patch = tree.diff()
    assert b"+++ b/filled/file" in patch
    assert b"diff --git a/gone b/gone\ndeleted file mode 160000" in patch
    assert b"left" not in patch


def test_a_repository_inside_shows_as_a_submodule(tree: AgentTree) -> None:
    for name in ("with-commit", "without"):
        plain_git("init", "--quiet", str(tree.path / name))
        (tree.path / name / "file").write_text("x")
    made = commit_all(tree.path / "with-commit")
    patch = tree.diff()
    assert f"new file mode 160000\nindex {'0' * 40}..{made}".encode() in patch
    assert b"diff --git a/without b/without\nnew file mode 160000" in patch
    assert b"file\n" not in patch


def test_links_are_never_followed(tree: AgentTree, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "app.py").write_text("secret\n")
    (tree.path / "link").symlink_to(secret / "app.py")
    (tree.path / "src/app.py").unlink()
    (tree.path / "src").rmdir()
    (tree.path / "src").symlink_to(secret)
    patch = tree.diff()
    assert b"secret\n-" not in patch
    assert b"+secret" not in patch
    assert patch.count(b"new file mode 120000") == 2
    assert b"diff --git a/src/app.py b/src/app.py\ndeleted file mode 100644" in patch


def test_a_link_in_place_of_its_tree_is_refused(tree: AgentTree, tmp_path: Path, refused: Refused) -> None:
    tree.path.rename(tmp_path / "moved")
    tree.path.symlink_to(tmp_path)
    with refused(FailureCode.PATCH_REFUSED):
        tree.diff()


@pytest.mark.parametrize("how", ["removed", "a file that points elsewhere", "borrows from elsewhere"])
def test_what_it_does_to_its_git_folder_changes_nothing(tree: AgentTree, tmp_path: Path, how: str) -> None:
    git_folder = tree.path / ".git"
    if how == "borrows from elsewhere":
        (git_folder / "objects/info").mkdir(exist_ok=True)
        (git_folder / "objects/info/alternates").write_text("/nonexistent\n")
    else:
        git_folder.rename(tmp_path / "moved")
    if how == "a file that points elsewhere":
        git_folder.write_text(f"gitdir: {tmp_path}/moved\n")
    (tree.path / "README.md").write_text("better\n")
    assert b"+better\n" in tree.diff()


def test_it_can_damage_neither_the_mirror_nor_our_git_folder(
    tree: AgentTree, workspace: GitWorkspace, origin: Origin, base: str
) -> None:
    inodes = {path.stat().st_ino for path in tree.path.rglob("*") if path.is_file()}
    beside = [path for path in tree.path.parents[2].rglob("*") if path.is_file() and tree.path not in path.parents]
    assert inodes.isdisjoint(path.stat().st_ino for path in beside)
    assert list(tree.path.glob(".git/objects/info/alternates")) == []
    for path in tree.path.joinpath(".git/objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")
    assert tree.diff() == b""
    assert workspace.read_file(origin.remote, base, "README.md", limit=100) == FILES["README.md"]


def test_a_tracked_file_that_it_made_huge_is_refused_before_it_is_read(tree: AgentTree, refused: Refused) -> None:
    with (tree.path / "README.md").open("wb") as file:
        file.truncate(1 << 40)
    with refused(FailureCode.PATCH_TOO_LARGE):
        tree.diff()


def test_a_large_file_that_was_there_before_is_no_obstacle(
    workspace: GitWorkspace, origin: Origin, base: str, root: Path
) -> None:
    commit = origin.commit("main", {"large": b"x" * 5000})
    workspace.fetch(origin.remote)
    tree = workspace.agent_tree(origin.remote, commit, key="agent")
    (tree.path / "README.md").write_text("better\n")
    small = GitAgentTree(_mirror_of(root), root / "agents/agent", commit, patch_limit=1000)
    assert small.diff().count(b"diff --git") == 1


def test_pipes_and_sockets_do_not_hang_it(tree: AgentTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.path)  # the name of a socket may not be long
    os.mkfifo(tree.path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    (tree.path / "README.md").unlink()
    os.mkfifo(tree.path / "README.md")
    patch = tree.diff()
    assert b"diff --git a/README.md b/README.md\ndeleted file mode 100644" in patch
    assert patch.count(b"diff --git") == 1


def test_a_huge_file_is_refused_before_it_is_read(tree: AgentTree, refused: Refused) -> None:
    with (tree.path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with refused(FailureCode.PATCH_TOO_LARGE) as caught:
        tree.diff()
    assert "huge" in caught.value.detail


def test_many_files_that_are_large_together_are_refused(
    tree: AgentTree, root: Path, base: str, refused: Refused
) -> None:
    for number in range(4):
        (tree.path / f"random-{number}").write_bytes(os.urandom(50_000))
    small = GitAgentTree(_mirror_of(root), root / "agents/agent", base, patch_limit=100_000)
    with refused(FailureCode.PATCH_TOO_LARGE):
        small.diff()


def test_names_with_line_feeds_and_any_bytes_are_taken(tree: AgentTree) -> None:
    for name in (b"two\nlines", b"\xff\xfe", b"-n", b"*", b'"quoted"', b" "):
        (tree.path / os.fsdecode(name)).write_text("x\n")
    patch = tree.diff()
    assert patch.count(b"diff --git") == 6
    assert b'"b/two\\nlines"' in patch


def test_a_name_that_git_cannot_take_is_refused_and_not_lost(tree: AgentTree, refused: Refused) -> None:
    (tree.path / "src/.GIT").mkdir()
    (tree.path / "src/.GIT/config").write_text("x")
    with refused(FailureCode.PATCH_REFUSED) as caught:
        tree.diff()
    assert "src/.GIT" in caught.value.detail


def test_ignored_files_stay_out(tree: AgentTree) -> None:
    (tree.path / ".gitignore").write_text("build/\n")
    (tree.path / "build").mkdir()
    (tree.path / "build/huge").write_bytes(b"x" * 100)
    (tree.path / ".git/info/exclude").write_text("README.md\nhidden\n")
    (tree.path / "hidden").write_text("x")
    patch = tree.diff()
    assert b"build" not in patch.replace(b"+build/\n", b"")
    # Its own private list of exclusions is its own affair.
    assert b"+++ b/hidden" in patch


def test_what_it_made_unreadable_is_read_all_the_same(
    root: Path, tree: AgentTree, unprivileged: Callable[[str], str]
) -> None:
    code = """
(tree.path / "src").chmod(0)
(tree.path / "new").write_text("new")
(tree.path / "new").chmod(0)
print(tree.diff().decode())
"""
    patch = unprivileged(code)
    assert "+++ b/new" in patch
    assert "src/app.py" not in patch


def test_read_only_folders_are_removed(root: Path, tree: AgentTree, unprivileged: Callable[[str], str]) -> None:
    code = """
(tree.path / "src").chmod(0o500)
tree.path.chmod(0)
GitWorkspace(root).drop_agent_tree("agent")
print(sorted(path.name for path in (root / "agents").iterdir()))
"""
    assert unprivileged(code) == "[]"


def test_a_tree_deeper_than_python_walks_is_read_and_removed(
    tree: AgentTree, workspace: GitWorkspace, root: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os\nfor _ in range(1500): os.mkdir('deep'); os.chdir('deep')\nopen('x', 'w')"],
        cwd=tree.path,
        check=False,
    )
    assert done.returncode == 0
    workspace.drop_agent_tree("agent")
    assert list((root / "agents").iterdir()) == []


def test_the_janitor_removes_all_but_what_is_kept(
    workspace: GitWorkspace, origin: Origin, base: str, root: Path
) -> None:
    for key in ("a", "b", "c"):
        workspace.agent_tree(origin.remote, base, key=key)
    (root / "agents/.trash-0123/tree").mkdir(parents=True)
    assert agent_tree_keys(root) == ["a", "b", "c"]
    assert remove_agent_trees(root, keep={"b", "unknown"}) == ["a", "c"]
    assert [path.name for path in (root / "agents").iterdir()] == ["b"]
    assert remove_agent_trees(root / "nowhere", keep=[]) == []


def test_the_same_agents_tree_can_be_read_again_and_again(tree: AgentTree) -> None:
    (tree.path / "README.md").write_text("better\n")
    first = tree.diff()
    assert tree.diff() == first
    assert sorted(path.name for path in tree.path.parent.iterdir()) == ["tree"]


def _git_of(root: Path) -> Git:
    return Git(root / "git", timedelta(seconds=20))


def _mirror_of(root: Path) -> Mirror:
    return Mirror(_git_of(root), next(root.glob("mirrors/*.git")))
