"""A repository is written by people we do not know; reading it must not run or follow anything of theirs."""

import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.workspace.checkout import GitWorkspace
from moonmind.workspace.git import Git, GitFailedError
from tests.integration.workspace.conftest import FILES, ORDER, Refused
from tests.origins import Origin, plain_git


def test_filters_hooks_and_submodules_of_a_repository_do_not_act(
    workspace: GitWorkspace, origin: Origin, trap: Path, ran: Path, base: str
) -> None:
    files = {
        ".gitattributes": b"* filter=lfs diff=lfs ident\n*.crlf eol=crlf\n*.u16 working-tree-encoding=UTF-16\n",
        ".gitmodules": f'[submodule "x"]\n\tpath = sub\n\turl = ext::{trap}\n'.encode(),
        ".lfsconfig": f"[lfs]\n\turl = ext::{trap}\n".encode(),
        "hooks/post-checkout": f"#!/bin/sh\n{trap}\n".encode(),
        "big.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "dos.crlf": b"a\nb\n",
        "wide.u16": b"plain\n",
        "id": b"$Id$\n",
        "sub": b"1" * 40,
    }
    commit = origin.commit("main", files, modes={"sub": "160000", "hooks/post-checkout": "100755"})
    workspace.fetch(origin.remote)
    tree = workspace.agent_tree(origin.remote, commit, key="agent")
    regular = {path: content for path, content in files.items() if path != "sub"}
    assert {path: (tree.path / path).read_bytes() for path in regular} == regular
    assert list((tree.path / "sub").iterdir()) == []
    assert tree.diff() == b""
    assert not ran.exists()


def test_links_of_a_repository_are_kept_as_links_and_read_as_nothing(
    workspace: GitWorkspace, origin: Origin, base: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    target = str(tmp_path / "secret").encode()
    path = "specs/001-login/tasks.md"
    commit = origin.commit("main", {path: target}, modes={path: "120000"})
    workspace.fetch(origin.remote)
    assert workspace.read_file(origin.remote, commit, path, limit=100) is None
    assert path not in workspace.list_files(origin.remote, commit)
    tree = workspace.agent_tree(origin.remote, commit, key="agent")
    assert os.fsencode((tree.path / path).readlink()) == target
    assert tree.diff() == b""


def test_what_the_forge_configured_for_itself_does_not_act_here(
    workspace: GitWorkspace, origin: Origin, trap: Path, ran: Path
) -> None:
    origin.commit("main", FILES)
    config = f"[core]\n\tfsmonitor = {trap}\n\tsshCommand = {trap}\n[uploadpack]\n\tpackObjectsHook = {trap}\n"
    with (origin.folder / "config").open("a") as file:
        file.write(config)
    workspace.fetch(origin.remote)
    assert not ran.exists()


def test_a_forge_that_borrows_objects_is_copied_whole(
    workspace: GitWorkspace, origin: Origin, tmp_path: Path, root: Path
) -> None:
    commit = origin.commit("main", FILES)
    borrower = Origin(tmp_path / "forge", "octo/borrower")
    (borrower.folder / "objects/info/alternates").write_text(f"{origin.folder}/objects\n")
    borrower.git("update-ref", "refs/heads/main", commit)
    workspace.fetch(borrower.remote)
    assert list(root.glob("mirrors/*.git/objects/info/*alternates")) == []
    assert workspace.read_file(borrower.remote, commit, "README.md", limit=100) == FILES["README.md"]


@pytest.mark.parametrize(
    ("url", "protocols"),
    [
        ("ext::{trap}", ("https",)),
        ("ext::{trap}", ("file",)),
        ("--upload-pack={trap}", ("file",)),
        ("-u{trap}", ("file",)),
        ("file://{forge}", ("https",)),
        ("{forge}", ("https",)),
        ("octo/demo.git", ("file",)),
        ("ssh://-oProxyCommand={trap}/x", ("ssh",)),
        ("https://somebody:secret@forge.invalid/octo/demo.git", ("https",)),
        ("https://forge.invalid/a\nb", ("https",)),
    ],
)
def test_an_address_that_git_could_misread_is_refused(
    workspace: GitWorkspace,
    origin: Origin,
    trap: Path,
    ran: Path,
    refused: Refused,
    url: str,
    protocols: tuple[str, ...],
) -> None:
    remote = Remote("octo/demo", url.format(trap=trap, forge=origin.folder), protocols)
    with refused(FailureCode.REPOSITORY_NOT_FOUND) as caught:
        workspace.fetch(remote)
    with refused(FailureCode.REPOSITORY_NOT_FOUND):
        workspace.remote_tip(remote, "main")
    assert "secret" not in str(caught.value)
    assert not ran.exists()


@pytest.mark.parametrize("protocols", [("https",), ()])
def test_git_itself_is_told_which_protocols_it_may_use(
    workspace: GitWorkspace, origin: Origin, root: Path, trap: Path, ran: Path, protocols: tuple[str, ...]
) -> None:
    """The second line of defence; an address may lead git to another one."""
    git = Git(root / "git", timedelta(seconds=20))
    for url in (f"ext::{trap}", f"file://{origin.folder}", str(origin.folder)):
        with pytest.raises(GitFailedError, match="not allowed"):
            git.run(["ls-remote", "--", url], remote=replace(origin.remote, protocols=protocols))
        with pytest.raises(GitFailedError, match="not allowed"):
            git.run(["ls-remote", "--", url])
    assert not ran.exists()


@pytest.mark.parametrize("repository", ["--upload-pack={trap}", "../../../etc", "a/b\n", "x" * 300, "", "ÄÖ/ü"])
def test_an_odd_repository_name_never_leaves_the_mirrors_folder(
    workspace: GitWorkspace, origin: Origin, trap: Path, root: Path, repository: str
) -> None:
    origin.commit("main", FILES)
    remote = replace(origin.remote, repository=repository.format(trap=trap).removeprefix("--"))
    workspace.fetch(remote)
    assert workspace.branch_tip(remote, "main") is not None
    assert {path.name for path in root.iterdir()} == {"git", "mirrors"}
    assert all(path.name.isascii() for path in (root / "mirrors").iterdir())


@pytest.mark.parametrize("branch", ["--upload-pack={trap}", "-x", "$(touch x)", "a;b", "moonmind/é"])
def test_an_odd_branch_name_is_a_name_or_nothing(
    workspace: GitWorkspace, origin: Origin, base: str, trap: Path, ran: Path, branch: str
) -> None:
    name = branch.format(trap=trap)
    assert workspace.branch_tip(origin.remote, name) is None
    assert workspace.remote_tip(origin.remote, name) is None
    assert not ran.exists()


def test_an_option_looking_commit_is_a_bug_of_the_caller(workspace: GitWorkspace, origin: Origin, base: str) -> None:
    with pytest.raises(ValueError, match="commit"):
        workspace.read_file(origin.remote, "--output=x", "README.md", limit=10)
    with pytest.raises(ValueError, match="commit"):
        workspace.push(origin.remote, branch="x", commit="HEAD", expected=None)


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../x", "-x", ".trash-1", "x\n"])
def test_a_key_that_is_no_plain_name_is_a_bug_of_the_caller(workspace: GitWorkspace, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        workspace.drop_agent_tree(key)


def test_a_renamed_default_branch_leaves_the_old_name_without_a_tip(
    workspace: GitWorkspace, origin: Origin, base: str
) -> None:
    origin.git("branch", "-m", "main", "main/trunk")
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") is None
    assert workspace.branch_tip(origin.remote, "main/trunk") == base


def test_a_default_branch_that_points_nowhere_is_no_obstacle(
    workspace: GitWorkspace, origin: Origin, base: str
) -> None:
    origin.git("symbolic-ref", "HEAD", "refs/heads/gone")
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") == base


def test_the_first_commit_of_an_empty_repository_is_found(workspace: GitWorkspace, origin: Origin) -> None:
    workspace.fetch(origin.remote)
    assert workspace.remote_tip(origin.remote, "main") is None
    commit = origin.commit("main", FILES)
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") == commit


def test_of_a_huge_file_only_the_limit_is_read(workspace: GitWorkspace, origin: Origin) -> None:
    commit = origin.commit("main", {"huge": b"\0" * (24 << 20)})
    workspace.fetch(origin.remote)
    read = workspace.read_file(origin.remote, commit, "huge", limit=1000)
    assert read == b"\0" * 1001


def test_a_name_with_a_line_feed_breaks_no_listing(workspace: GitWorkspace, origin: Origin, base: str) -> None:
    blob = origin.git("rev-parse", f"{base}:README.md")
    listing = f"100644 blob {blob}\ttwo\nlines\x00100644 blob {blob}\t-n\x00100644 blob {blob}\t*\x00".encode()
    tree = origin.git("mktree", "-z", stdin=listing)
    commit = origin.git("commit-tree", "-m", "x", tree)
    origin.git("update-ref", "refs/heads/main", commit)
    workspace.fetch(origin.remote)
    assert list(workspace.list_files(origin.remote, commit)) == ["*", "-n", "two\nlines"]
    assert workspace.read_file(origin.remote, commit, "-n", limit=100) == FILES["README.md"]
    assert workspace.read_file(origin.remote, commit, "two*", limit=100) is None
    assert workspace.agent_tree(origin.remote, commit, key="agent").diff() == b""


@pytest.mark.parametrize("line", ["update = !{trap}", "url = --upload-pack={trap}", "path = -x"])
def test_a_submodule_entry_that_would_run_a_command_is_refused_on_the_way_in(
    workspace: GitWorkspace, origin: Origin, base: str, trap: Path, ran: Path, refused: Refused, line: str
) -> None:
    origin.commit("main", {".gitmodules": f'[submodule "x"]\n\t{line}\n'.format(trap=trap).encode()})
    with refused(FailureCode.REPOSITORY_UNREACHABLE) as caught:
        workspace.fetch(origin.remote)
    assert "gitmodules" in caught.value.detail
    assert not ran.exists()


def test_a_malformed_history_is_refused_unless_told_otherwise(origin: Origin, root: Path, refused: Refused) -> None:
    blob = plain_git(f"--git-dir={origin.folder}", "hash-object", "-w", "--stdin", stdin=b"x")
    raw = b"100644 .git\0" + bytes.fromhex(blob)
    tree = origin.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    origin.git("update-ref", "refs/heads/main", origin.git("commit-tree", "-m", "x", tree))
    with refused(FailureCode.REPOSITORY_UNREACHABLE) as caught:
        GitWorkspace(root).fetch(origin.remote)
    assert "hasDotgit" in caught.value.detail
    GitWorkspace(root, checks_objects=False).fetch(origin.remote)


def test_our_folders_are_for_us_alone(workspace: GitWorkspace, origin: Origin, base: str, root: Path) -> None:
    workspace.agent_tree(origin.remote, base, key="agent")
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.commit(ORDER)
    for folder in (root / "mirrors", root / "scratch", root / "agents/agent", *(root / "mirrors").glob("*.git")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
