"""The workspace on git and the one in memory keep these promises to the stages."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import CommitOrder, Remote, Workspace
from moonmind.domain.results import FileChange
from moonmind.testing.workspaces import InMemoryWorkspace
from moonmind.workspace.checkout import GitWorkspace
from tests.origins import Origin

TASKS = "specs/001-login/tasks.md"
START = {"README.md": b"# Demo\n", TASKS: b"- [ ] T001 one\n- [ ] T002 two\n", "src/app.py": b"a\nb\nc\nd\ne\nf\ng\n"}
ORDER = CommitOrder("Do it\n\nMoonMind-Run: 1\n", "MoonMind", "bot@example.org", datetime(2026, 11, 24, 12, tzinfo=UTC))
BRANCH = "moonmind/001-login/phase-1"


class Subject(Protocol):
    """A workspace, and somebody else who works on the forge's side."""

    workspace: Workspace
    remote: Remote

    def commit(self, branch: str, files: Mapping[str, bytes | None]) -> str: ...
    def delete_branch(self, branch: str) -> None: ...
    def protect(self, branch: str) -> None: ...
    def file(self, commit: str, path: str) -> bytes: ...


class OnGit:
    def __init__(self, folder: Path) -> None:
        self._origin = Origin(folder / "forge")
        self.workspace = GitWorkspace(folder / "workspace", timeout=timedelta(seconds=30))
        self.remote = self._origin.remote
        self.delete_branch = self._origin.delete_branch
        self.file = self._origin.file

    def commit(self, branch: str, files: Mapping[str, bytes | None]) -> str:
        return self._origin.commit(branch, files)

    def protect(self, branch: str) -> None:
        self._origin.install_hook(
            "update", f'test "$1" != refs/heads/{branch} || {{ echo "GH006: Protected branch update failed"; exit 1; }}'
        )


class InMemory:
    def __init__(self, folder: Path) -> None:
        self._fake = InMemoryWorkspace(folder / "agents")
        self._fake.add_repository("octo/demo")
        self.workspace = self._fake
        self.remote = Remote("octo/demo", "file:///forge/octo/demo.git", ("file",))

    def commit(self, branch: str, files: Mapping[str, bytes | None]) -> str:
        return self._fake.commit("octo/demo", branch, files)

    def delete_branch(self, branch: str) -> None:
        self._fake.delete_branch("octo/demo", branch)

    def protect(self, branch: str) -> None:
        self._fake.protect("octo/demo", branch)

    def file(self, commit: str, path: str) -> bytes:
        return self._fake.files_of("octo/demo", commit)[path]


@pytest.fixture(params=[OnGit, InMemory], ids=["git", "memory"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    make: Callable[[Path], Subject] = request.param
    return make(tmp_path)


@pytest.fixture
def base(subject: Subject) -> str:
    """The commit that the tests start from, fetched."""
    commit = subject.commit("main", START)
    subject.workspace.fetch(subject.remote)
    return commit


def patch_of(subject: Subject, base: str, edit: Callable[[Path], object]) -> bytes:
    tree = subject.workspace.agent_tree(subject.remote, base, key="author")
    edit(tree.path)
    return tree.diff()


def committed(subject: Subject, base: str, text: bytes = b"# Better\n") -> str:
    with subject.workspace.clean_tree(subject.remote, base) as tree:
        tree.write("README.md", text)
        return tree.commit(ORDER)


def refused(code: FailureCode) -> "pytest.RaisesExc[WorkflowError]":
    return pytest.raises(WorkflowError, check=lambda error: error.code is code)


class TestMirror:
    def test_knows_the_branches_of_the_last_fetch(self, subject: Subject, base: str) -> None:
        later = subject.commit("main", {"README.md": b"later\n"})
        assert subject.workspace.branch_tip(subject.remote, "main") == base
        subject.workspace.fetch(subject.remote)
        assert subject.workspace.branch_tip(subject.remote, "main") == later

    def test_forgets_a_deleted_branch(self, subject: Subject, base: str) -> None:
        subject.commit("old", {"a": b"a"})
        subject.workspace.fetch(subject.remote)
        subject.delete_branch("old")
        subject.workspace.fetch(subject.remote)
        assert subject.workspace.branch_tip(subject.remote, "old") is None

    def test_an_empty_repository_has_no_branch(self, subject: Subject) -> None:
        subject.workspace.fetch(subject.remote)
        assert subject.workspace.branch_tip(subject.remote, "main") is None

    @pytest.mark.parametrize("branch", ["", "nobody", "--help", "main~1", "ma*n", "main^{tree}", "refs/heads/main"])
    def test_what_is_no_branch_has_no_tip(self, subject: Subject, base: str, branch: str) -> None:
        assert subject.workspace.branch_tip(subject.remote, branch) is None
        assert subject.workspace.remote_tip(subject.remote, branch) is None

    def test_a_repository_that_is_not_there_is_named(self, subject: Subject, tmp_path: Path) -> None:
        nobody = Remote("octo/nobody", f"file://{tmp_path}/forge/octo/nobody.git", ("file",))
        with refused(FailureCode.REPOSITORY_NOT_FOUND) as caught:
            subject.workspace.fetch(nobody)
        assert "octo/nobody" in caught.value.detail

    def test_files_are_listed_below_a_folder(self, subject: Subject, base: str) -> None:
        workspace, remote = subject.workspace, subject.remote
        assert list(workspace.list_files(remote, base)) == sorted(START)
        assert list(workspace.list_files(remote, base, "specs/001-login")) == [TASKS]
        assert list(workspace.list_files(remote, base, "specs/001-login/")) == [TASKS]
        assert list(workspace.list_files(remote, base, "spec")) == []
        assert list(workspace.list_files(remote, base, "../..")) == []

    def test_a_file_is_read_up_to_one_byte_beyond_the_limit(self, subject: Subject, base: str) -> None:
        workspace, remote = subject.workspace, subject.remote
        assert workspace.read_file(remote, base, "README.md", limit=7) == b"# Demo\n"
        assert workspace.read_file(remote, base, "README.md", limit=3) == b"# De"

    @pytest.mark.parametrize("path", ["nobody.md", "specs", "specs/", "", "/etc/passwd", "../README.md", "./README.md"])
    def test_what_is_no_file_is_none(self, subject: Subject, base: str, path: str) -> None:
        assert subject.workspace.read_file(subject.remote, base, path, limit=10) is None

    def test_a_commit_that_nobody_has_is_refused(self, subject: Subject, base: str) -> None:
        with refused(FailureCode.BASE_BRANCH_NOT_FOUND):
            subject.workspace.read_file(subject.remote, "1" * 40, "README.md", limit=10)


class TestAgentTree:
    def test_has_the_files_of_the_commit(self, subject: Subject, base: str) -> None:
        tree = subject.workspace.agent_tree(subject.remote, base, key="run-1")
        assert {path: (tree.path / path).read_bytes() for path in START} == START
        assert tree.diff() == b""

    def test_is_fresh_under_the_same_key(self, subject: Subject, base: str) -> None:
        first = subject.workspace.agent_tree(subject.remote, base, key="run-1")
        (first.path / "left-over").write_text("x")
        second = subject.workspace.agent_tree(subject.remote, base, key="run-1")
        assert not (second.path / "left-over").exists()

    def test_goes_when_dropped_and_again(self, subject: Subject, base: str) -> None:
        tree = subject.workspace.agent_tree(subject.remote, base, key="run-1")
        subject.workspace.drop_agent_tree("run-1")
        subject.workspace.drop_agent_tree("run-1")
        assert not tree.path.exists()

    def test_its_difference_applies_to_a_clean_tree(self, subject: Subject, base: str) -> None:
        def edit(path: Path) -> None:
            (path / "src/app.py").write_bytes(b"a\nb\nC\nd\ne\nf\ng\nh without an end")
            (path / "README.md").unlink()
            (path / "new file é.txt").write_bytes(b"new\r\n")
            (path / "run.sh").write_text("#!/bin/sh\n")
            (path / "run.sh").chmod(0o755)
            (path / "empty").touch()
            (path / "link").symlink_to("/etc/passwd")

        patch = patch_of(subject, base, edit)
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.apply(patch)
            assert tree.read("src/app.py") == b"a\nb\nC\nd\ne\nf\ng\nh without an end"
            assert tree.read("README.md") is None
            assert tree.read("new file é.txt") == b"new\r\n"
            assert tree.read("link") is None
            assert [(change.status, change.path, change.old_mode, change.new_mode) for change in tree.changes()] == [
                ("D", "README.md", "100644", "000000"),
                ("A", "empty", "000000", "100644"),
                ("A", "link", "000000", "120000"),
                ("A", "new file é.txt", "000000", "100644"),
                ("A", "run.sh", "000000", "100755"),
                ("M", "src/app.py", "100644", "100644"),
            ]


class TestCleanTree:
    def test_starts_as_the_commit_is(self, subject: Subject, base: str) -> None:
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            assert tree.read(TASKS) == START[TASKS]
            assert tree.read("nobody") is None
            assert (tree.diff(), list(tree.changes())) == (b"", [])

    def test_counts_lines(self, subject: Subject, base: str) -> None:
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.write(TASKS, b"- [X] T001 one\n- [ ] T002 two\n- [ ] T003 three\n")
            counted = FileChange(TASKS, 2, 1, old_mode="100644", new_mode="100644", status="M")
            assert list(tree.changes()) == [counted]

    def test_a_patch_of_what_is_there_already_changes_nothing(self, subject: Subject, base: str) -> None:
        patch = patch_of(subject, base, lambda path: (path / "src/app.py").write_bytes(b"a\nb\nX\nd\ne\nf\ng\n"))
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.apply(patch)
            once = tree.tree_id()
            tree.apply(patch)
            assert tree.tree_id() == once

    def test_a_conflict_names_the_file_and_leaves_the_commit(self, subject: Subject, base: str) -> None:
        patch = patch_of(subject, base, lambda path: (path / "src/app.py").write_bytes(b"a\nb\nTHEIRS\nd\ne\nf\ng\n"))
        later = subject.commit("main", {"src/app.py": b"a\nb\nOURS\nd\ne\nf\ng\n"})
        subject.workspace.fetch(subject.remote)
        with subject.workspace.clean_tree(subject.remote, later) as tree:
            tree.write("README.md", b"changed before\n")
            with refused(FailureCode.PATCH_CONFLICT) as caught:
                tree.apply(patch)
            assert "src/app.py" in caught.value.detail
            assert "THEIRS" in str(caught.value.facts["conflict"])
            assert list(tree.changes()) == []

    def test_a_patch_for_a_file_that_is_not_there_conflicts(self, subject: Subject, base: str) -> None:
        patch = patch_of(subject, base, lambda path: (path / "src/app.py").write_bytes(b"z\n"))
        later = subject.commit("main", {"src/app.py": None})
        subject.workspace.fetch(subject.remote)
        with subject.workspace.clean_tree(subject.remote, later) as tree, refused(FailureCode.PATCH_CONFLICT):
            tree.apply(patch)

    @pytest.mark.parametrize("patch", [b"", b"no patch at all\n", b"diff --git a/x b/x\n@@ -1 +1,9 @@\n+a\n"])
    def test_what_is_no_patch_is_unreadable(self, subject: Subject, base: str, patch: bytes) -> None:
        with subject.workspace.clean_tree(subject.remote, base) as tree, refused(FailureCode.PATCH_UNREADABLE):
            tree.apply(patch)

    @pytest.mark.parametrize("path", ["../x", "/etc/x", ".git/hooks/x", ".GIT/hooks/x", "src/.git/config", "a/../../x"])
    def test_a_path_out_of_the_tree_is_refused_by_name(self, subject: Subject, base: str, path: str) -> None:
        patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            with refused(FailureCode.PATCH_REFUSED) as caught:
                tree.apply(patch.encode())
            assert path in caught.value.detail
            assert list(tree.changes()) == []

    def test_restore_brings_back_what_the_commit_has_or_has_not(self, subject: Subject, base: str) -> None:
        def edit(path: Path) -> None:
            (path / TASKS).unlink()
            (path / TASKS).mkdir()
            (path / TASKS / "inside").touch()
            (path / "new").touch()

        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.apply(patch_of(subject, base, edit))
            for path in (TASKS, "new", "never was"):
                tree.restore(path)
            assert tree.read(TASKS) == START[TASKS]
            assert list(tree.changes()) == []

    @pytest.mark.parametrize("path", ["-n", ":(top)x", ":!x", "[a]*", "a b", "é/ü", "x\\y", "#x"])
    def test_a_name_is_taken_literally(self, subject: Subject, base: str, path: str) -> None:
        def edit(folder: Path) -> None:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(b"1\n")

        patch = patch_of(subject, base, edit)
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.apply(patch)
            tree.write(path, b"2\n")
            assert tree.read(path) == b"2\n"
            assert [change.path for change in tree.changes()] == [path]
            tree.restore(path)
            assert tree.read(path) is None

    def test_only_a_tracked_file_can_be_written(self, subject: Subject, base: str) -> None:
        with subject.workspace.clean_tree(subject.remote, base) as tree, pytest.raises(ValueError, match="tracked"):
            tree.write("nobody", b"x")

    def test_the_same_order_and_tree_make_the_same_commit(self, subject: Subject, base: str) -> None:
        assert committed(subject, base) == committed(subject, base)
        assert committed(subject, base) != committed(subject, base, b"other\n")

    def test_its_difference_makes_the_same_tree_again(self, subject: Subject, base: str) -> None:
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.write("README.md", b"binary\0\xff without an end")
            first, patch = tree.tree_id(), tree.diff()
        with subject.workspace.clean_tree(subject.remote, base) as tree:
            tree.apply(patch)
            assert tree.tree_id() == first


class TestPush:
    def test_makes_the_branch(self, subject: Subject, base: str) -> None:
        commit = committed(subject, base)
        report = subject.workspace.push(subject.remote, branch=BRANCH, commit=commit, expected=None)
        assert (report.branch, report.commit_sha, report.already_there) == (BRANCH, commit, False)
        assert subject.workspace.remote_tip(subject.remote, BRANCH) == commit
        assert subject.file(commit, "README.md") == b"# Better\n"

    def test_repeated_is_reported_as_already_there(self, subject: Subject, base: str) -> None:
        commit = committed(subject, base)
        subject.workspace.push(subject.remote, branch=BRANCH, commit=commit, expected=None)
        again = subject.workspace.push(subject.remote, branch=BRANCH, commit=commit, expected=None)
        assert again.already_there

    def test_replaces_only_what_was_pushed_before(self, subject: Subject, base: str) -> None:
        first, second = committed(subject, base), committed(subject, base, b"second\n")
        subject.workspace.push(subject.remote, branch=BRANCH, commit=first, expected=None)
        subject.workspace.push(subject.remote, branch=BRANCH, commit=second, expected=first)
        assert subject.workspace.remote_tip(subject.remote, BRANCH) == second

    def test_stops_at_a_branch_that_somebody_made(self, subject: Subject, base: str) -> None:
        theirs = subject.commit(BRANCH, {"theirs": b"theirs"})
        with refused(FailureCode.BRANCH_MOVED) as caught:
            subject.workspace.push(subject.remote, branch=BRANCH, commit=committed(subject, base), expected=None)
        assert subject.workspace.remote_tip(subject.remote, BRANCH) == theirs
        assert isinstance(caught.value.facts["log"], str)

    def test_stops_at_a_branch_that_somebody_moved_or_deleted(self, subject: Subject, base: str) -> None:
        first, second = committed(subject, base), committed(subject, base, b"second\n")
        subject.workspace.push(subject.remote, branch=BRANCH, commit=first, expected=None)
        theirs = subject.commit(BRANCH, {"theirs": b"theirs"})
        with refused(FailureCode.BRANCH_MOVED):
            subject.workspace.push(subject.remote, branch=BRANCH, commit=second, expected=first)
        assert subject.workspace.remote_tip(subject.remote, BRANCH) == theirs
        subject.delete_branch(BRANCH)
        with refused(FailureCode.BRANCH_MOVED):
            subject.workspace.push(subject.remote, branch=BRANCH, commit=second, expected=first)

    def test_to_a_protected_branch_is_refused(self, subject: Subject, base: str) -> None:
        subject.protect(BRANCH)
        with refused(FailureCode.BRANCH_PROTECTED):
            subject.workspace.push(subject.remote, branch=BRANCH, commit=committed(subject, base), expected=None)
        assert subject.workspace.remote_tip(subject.remote, BRANCH) is None

    @pytest.mark.parametrize("branch", ["--mirror", "a..b", "a b", "", "x.lock", "HEAD", "a:b"])
    def test_a_name_that_git_could_misread_is_refused(self, subject: Subject, base: str, branch: str) -> None:
        with refused(FailureCode.PUSH_REJECTED):
            subject.workspace.push(subject.remote, branch=branch, commit=committed(subject, base), expected=None)

    def test_a_commit_that_was_never_made_is_rejected(self, subject: Subject, base: str) -> None:
        with refused(FailureCode.PUSH_REJECTED):
            subject.workspace.push(subject.remote, branch=BRANCH, commit="1" * 40, expected=None)


def test_an_agents_file_name_may_hold_a_line_feed_but_is_not_applied(subject: Subject, base: str) -> None:
    patch = patch_of(subject, base, lambda path: (path / os.fsdecode(b"two\nlines \xff")).touch())
    with subject.workspace.clean_tree(subject.remote, base) as tree, refused(FailureCode.PATCH_REFUSED):
        tree.apply(patch)
