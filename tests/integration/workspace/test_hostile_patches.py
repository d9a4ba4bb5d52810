"""A patch is written by an agent that may have been talked into anything; it must act on nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.workspace.checkout import GitWorkspace
from tests.integration.workspace.conftest import Refused
from tests.origins import Origin, plain_git

Outside = Callable[[], dict[str, bytes | str]]


def new_file(path: str, content: str = "x", mode: str = "100644") -> bytes:
    head = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n"
    return f"{head}--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{content}\n".encode()


def new_link(path: str, target: str) -> bytes:
    return new_file(path, target, "120000") + b"\\ No newline at end of file\n"


@pytest.fixture(autouse=True)
def _nothing_is_written_outside(outside: Outside, root: Path, base: str, trap: Path) -> Iterator[None]:
    before = outside()
    yield
    assert outside() == before
    # Nor does the workspace hold a file of the patch: objects and an index are all there is.
    ours = [path for folder in ("mirrors", "scratch", "git") for path in (root / folder).rglob("*")]
    assert [path for path in ours if path.name in {"x", "link", "sub", "app.py"}] == []


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "../../../../../../tmp/x",
        "/x",
        ".git/hooks/x",
        ".git/config",
        ".GIT/hooks/x",
        "src/.git/config",
        "git~1/x",
    ],
)
def test_a_path_out_of_the_tree_is_refused(
    workspace: GitWorkspace, origin: Origin, base: str, path: str, refused: Refused
) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        with refused(FailureCode.PATCH_REFUSED) as caught:
            tree.apply(new_file(path))
        assert path in caught.value.detail
        assert list(tree.changes()) == []


def test_a_path_in_the_name_of_the_destination_alone_is_refused(
    workspace: GitWorkspace, origin: Origin, base: str, refused: Refused
) -> None:
    rename = b"diff --git a/README.md b/../x\nsimilarity index 100%\nrename from README.md\nrename to ../x\n"
    with workspace.clean_tree(origin.remote, base) as tree, refused(FailureCode.PATCH_REFUSED):
        tree.apply(rename)


def test_a_link_is_only_an_entry_that_policy_can_see(workspace: GitWorkspace, origin: Origin, base: str) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.apply(new_link("link", "/etc/passwd"))
        assert [(change.path, change.new_mode) for change in tree.changes()] == [("link", "120000")]
        assert tree.read("link") is None


def test_a_link_cannot_be_written_through_in_the_same_patch(
    workspace: GitWorkspace, origin: Origin, base: str, tmp_path: Path, refused: Refused
) -> None:
    with workspace.clean_tree(origin.remote, base) as tree, refused(FailureCode.PATCH_REFUSED) as caught:
        tree.apply(new_link("link", str(tmp_path)) + new_file("link/x"))
    assert "link/x" in caught.value.detail


def test_a_link_of_the_repository_cannot_be_written_through(
    workspace: GitWorkspace, origin: Origin, base: str, tmp_path: Path, refused: Refused
) -> None:
    commit = origin.commit("main", {"link": str(tmp_path).encode()}, modes={"link": "120000"})
    workspace.fetch(origin.remote)
    with workspace.clean_tree(origin.remote, commit) as tree, refused(FailureCode.PATCH_REFUSED):
        tree.apply(new_file("link/x"))


def test_there_is_no_folder_in_which_an_untracked_link_could_wait(
    workspace: GitWorkspace, origin: Origin, base: str, root: Path
) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.apply(new_file("src/x"))
        assert sorted(path.name for path in (root / "scratch").glob("*/*")) == ["before", "index"]
    assert list((root / "scratch").iterdir()) == []


def test_a_submodule_is_only_an_entry_that_policy_can_see(workspace: GitWorkspace, origin: Origin, base: str) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.apply(new_file("sub", f"Subproject commit {'1' * 40}", "160000"))
        assert [(change.path, change.new_mode) for change in tree.changes()] == [("sub", "160000")]


def test_submodule_addresses_filters_and_drivers_do_not_act(
    workspace: GitWorkspace, origin: Origin, base: str, trap: Path, ran: Path
) -> None:
    modules = f'[submodule "x"]\n\tpath = sub\n\turl = ext::{trap}\n'.encode()
    attributes = b"* filter=evil diff=evil merge=evil text eol=crlf working-tree-encoding=UTF-16\n"
    commit = origin.commit("main", {".gitmodules": modules, ".gitattributes": attributes})
    workspace.fetch(origin.remote)
    with workspace.clean_tree(origin.remote, commit) as tree:
        tree.apply(new_file(".gitattributes2") + new_file("src/x"))
        tree.write("README.md", b"bytes\r\nas they are\n")
        assert tree.read("README.md") == b"bytes\r\nas they are\n"
        assert "src/x" in [change.path for change in tree.changes()]
        assert b"bytes\r\n" in tree.diff()
    assert not ran.exists()


@pytest.mark.parametrize(
    "path", [".github/workflows/ci.yml", ".codex/config.toml", ".vscode/tasks.json", ".envrc", ".gitattributes"]
)
def test_a_path_that_others_act_on_is_told_to_policy(
    workspace: GitWorkspace, origin: Origin, base: str, path: str
) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.apply(new_file(path))
        assert [change.path for change in tree.changes()] == [path]


@pytest.mark.parametrize("name", ["two\\nlines", "\\033[31mred", "\\377"])
def test_a_name_that_cannot_be_shown_is_refused(
    workspace: GitWorkspace, origin: Origin, base: str, name: str, refused: Refused
) -> None:
    patch = f'diff --git "a/{name}" "b/{name}"\nnew file mode 100644\n'
    with workspace.clean_tree(origin.remote, base) as tree:
        with refused(FailureCode.PATCH_REFUSED) as caught:
            tree.apply(patch.encode())
        assert caught.value.detail.isprintable()
        assert list(tree.changes()) == []


def test_a_conflict_shows_both_sides_with_markers(
    workspace: GitWorkspace, origin: Origin, base: str, tmp_path: Path, refused: Refused
) -> None:
    old, new = (
        plain_git(f"--git-dir={origin.folder}", "hash-object", "-w", "--stdin", stdin=content)
        for content in (b"a\nb\nc\nd\n", b"a\nb\nTHEIRS\nd\n")
    )
    patch = f"diff --git a/src/app.py b/src/app.py\nindex {old}..{new} 100644\n--- a/src/app.py\n+++ b/src/app.py\n"
    patch += "@@ -1,4 +1,4 @@\n a\n b\n-c\n+THEIRS\n d\n"
    later = origin.commit("main", {"src/app.py": b"a\nb\nOURS\nd\n"})
    workspace.fetch(origin.remote)
    with workspace.clean_tree(origin.remote, later) as tree, refused(FailureCode.PATCH_CONFLICT) as caught:
        tree.apply(patch.encode())
    text = str(caught.value.facts["conflict"])
    assert (
        "=== src/app.py ===\na\nb\n<<<<<<< base commit\nOURS\n||||||| what the patch was made from\nc\n=======\n"
        in text
    )
    assert "THEIRS\n>>>>>>> patch\nd\n" in text


def test_a_conflict_in_a_huge_file_is_told_in_bounded_text(
    workspace: GitWorkspace, origin: Origin, base: str, refused: Refused
) -> None:
    line = b"x" * 99 + b"\n"
    first = origin.commit("main", {"big": line * 20_000})
    workspace.fetch(origin.remote)
    author = workspace.agent_tree(origin.remote, first, key="author")
    (author.path / "big").write_bytes(b"theirs\n" + line * 20_000)
    later = origin.commit("main", {"big": b"ours\n" + line * 20_000})
    workspace.fetch(origin.remote)
    with workspace.clean_tree(origin.remote, later) as tree, refused(FailureCode.PATCH_CONFLICT) as caught:
        tree.apply(author.diff())
    text = str(caught.value.facts["conflict"])
    assert "cut here" in text
    assert len(text) < 600 * 1024


def test_a_binary_conflict_is_told_in_words(
    workspace: GitWorkspace, origin: Origin, base: str, refused: Refused
) -> None:
    first = origin.commit("main", {"logo": b"\0one"})
    workspace.fetch(origin.remote)
    author = workspace.agent_tree(origin.remote, first, key="author")
    (author.path / "logo").write_bytes(b"\0theirs")
    later = origin.commit("main", {"logo": b"\0ours"})
    workspace.fetch(origin.remote)
    with workspace.clean_tree(origin.remote, later) as tree, refused(FailureCode.PATCH_CONFLICT) as caught:
        tree.apply(author.diff())
    assert "logo" in caught.value.detail
    assert "a binary file" in str(caught.value.facts["conflict"])


def test_a_patch_that_could_be_taken_back_elsewhere_is_still_applied(
    workspace: GitWorkspace, origin: Origin, base: str
) -> None:
    """
    A patch that adds one more line to a run of equal lines can always be taken back somewhere.

    Asking first whether it could be taken back would lose it without a word.
    """
    commit = origin.commit("main", {"log": b"same\n" * 10})
    workspace.fetch(origin.remote)
    patch = b"diff --git a/log b/log\n--- a/log\n+++ b/log\n@@ -8,3 +8,4 @@\n same\n same\n+same\n same\n"
    with workspace.clean_tree(origin.remote, commit) as tree:
        tree.apply(patch)
        assert tree.read("log") == b"same\n" * 11


def test_a_patch_without_blob_ids_is_applied_by_its_lines(
    workspace: GitWorkspace, origin: Origin, base: str, refused: Refused
) -> None:
    patch = b"--- a/src/app.py\n+++ b/src/app.py\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.apply(patch)
        assert tree.read("src/app.py") == b"a\nB\nc\nd\n"
        tree.apply(patch)
        assert tree.read("src/app.py") == b"a\nB\nc\nd\n"
        with refused(FailureCode.PATCH_CONFLICT) as caught:
            tree.apply(patch.replace(b" a\n", b" other\n"))
        assert "src/app.py" in caught.value.detail


def test_three_way_finds_the_place_that_moved(workspace: GitWorkspace, origin: Origin, base: str) -> None:
    author = workspace.agent_tree(origin.remote, base, key="author")
    (author.path / "src/app.py").write_bytes(b"a\nb\nc\nD\n")
    later = origin.commit("main", {"src/app.py": b"new\nlines\nabove\na\nb\nc\nd\n"})
    workspace.fetch(origin.remote)
    with workspace.clean_tree(origin.remote, later) as tree:
        tree.apply(author.diff())
        assert tree.read("src/app.py") == b"new\nlines\nabove\na\nb\nc\nD\n"
