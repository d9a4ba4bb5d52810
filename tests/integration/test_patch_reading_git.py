"""The reader of patches against git itself: on what git writes, and on what git can be made to take."""

import os
import subprocess
from pathlib import Path

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_policy import PatchPolicy, PatchSummary, check_patch, read_patch


def git(folder: Path, *arguments: str, content: bytes | None = None, check: bool = True) -> bytes:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false", *arguments]
    done = subprocess.run(command, cwd=folder, input=content, capture_output=True, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done.stdout if done.returncode == 0 else b"REFUSED"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "text.txt").write_text("".join(f"line {number}\n" for number in range(40)))
    (folder / "gone.txt").write_text("bye\n")
    (folder / "old name.txt").write_text("".join(f"word {number}\n" for number in range(20)))
    (folder / "script.sh").write_text("#!/bin/sh\n")
    (folder / "picture.bin").write_bytes(bytes(range(256)) * 40)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "base")
    return folder


def told_by_git(folder: Path, patch: bytes) -> list[tuple[int, int, str]] | None:
    output = git(folder, "apply", "--numstat", "-z", "-", content=patch, check=False)
    if output == b"REFUSED":
        return None
    told = []
    for record in output.split(b"\0")[:-1]:
        added, removed, path = record.split(b"\t", 2)
        told.append((int(added.replace(b"-", b"0")), int(removed.replace(b"-", b"0")), os.fsdecode(path)))
    return told


def told_by_us(summary: PatchSummary) -> list[tuple[int, int, str]]:
    return [(entry.insertions, entry.deletions, entry.path) for entry in summary.entries]


class TestWhatGitWrites:
    def test_is_read_as_git_reads_it(self, repository: Path) -> None:
        (repository / "text.txt").write_text("".join(f"line {number}\n" for number in range(40) if number % 7) + "end")
        (repository / "gone.txt").unlink()
        (repository / "old name.txt").rename(repository / "new\tnäme\n.txt")
        (repository / "script.sh").chmod(0o755)
        (repository / "picture.bin").write_bytes(bytes(range(256)) * 39 + b"other")
        (repository / "new.bin").write_bytes(bytes(range(256)) * 9)
        (repository / "empty name").write_text("")
        (repository / "link").symlink_to("text.txt")
        (repository / "no newline").write_text("-- a\n++ b\n@@ -1 +1 @@\ndiff --git a/x b/x")
        git(repository, "add", "-A")
        patch = git(repository, "diff", "--cached", "--full-index", "--binary", "-M")
        summary = read_patch(patch)
        assert told_by_us(summary) == told_by_git(repository, patch)
        by_path = {entry.path: entry for entry in summary.entries}
        assert by_path["new\tnäme\n.txt"].renamed
        assert by_path["gone.txt"].deleted
        assert (by_path["script.sh"].old_mode, by_path["script.sh"].new_mode) == ("100644", "100755")
        assert by_path["link"].new_mode == "120000"
        assert by_path["new.bin"].unpacked_bytes == 256 * 9
        assert by_path["picture.bin"].unpacked_bytes == 256 * 39 + 5, "a delta tells the size of what it makes"

    def test_added_lines_are_numbered_as_in_the_file(self, repository: Path) -> None:
        lines = [f"line {number}" if number % 9 else f"changed {number}" for number in range(40)]
        (repository / "text.txt").write_text("\n".join(lines) + "\n")
        patch = git(repository, "diff", "--full-index", "--binary")
        (entry,) = read_patch(patch).entries
        assert all(lines[number - 1].encode() == line for number, line in entry.added_lines())
        assert entry.insertions == 5

    def test_a_delta_bomb_is_refused_by_what_it_would_make(self, repository: Path) -> None:
        (repository / "picture.bin").write_bytes(bytes(range(256)) * 40 * 200)
        patch = git(repository, "diff", "--full-index", "--binary")
        assert len(patch) < 20_000
        with pytest.raises(WorkflowError) as refusal:
            check_patch(patch, PatchPolicy())
        assert refusal.value.facts["rule"] == "binary-too-large"


BODY = b"@@ -0,0 +1 @@\n+x\n"


def adding(first: bytes, below: bytes, *, mode: bytes = b"100644") -> bytes:
    header = b"diff --git %b\nnew file mode %b\nindex 0000000..1111111\n" % (first, mode)
    return header + b"--- /dev/null\n+++ " + below + b"\n" + BODY


def renaming(old: bytes, new: bytes, *, words: bytes = b"from to") -> bytes:
    before, after = words.split()
    header = b"diff --git a/%b b/%b\nsimilarity index 100%%\n" % (old, new)
    return header + b"rename %b %b\nrename %b %b\n" % (before, old, after, new)


WORKFLOW = b".github/workflows/x.yml"
HOSTILE = {
    "parent": adding(b"a/../x b/../x", b"b/../x"),
    "git folder": adding(b"a/.git/x b/.git/x", b"b/.git/x"),
    "doubled slash": adding(b"a//.git/x b//.git/x", b"b//.git/x"),
    "quoted git folder": adding(b'"a/\\056git/x" "b/\\056git/x"', b'"b/\\056git/x"'),
    "one quoted side": adding(b'a/.envrc "b/\\056envrc"', b'"b/.envrc"'),
    "new link": adding(b"a/l b/l", b"b/l", mode=b"120000"),
    "new submodule": adding(b"a/s b/s", b"b/s", mode=b"160000"),
    "old words for rename": renaming(b"text.txt", b".envrc", words=b"old new"),
    "rename behind a tab": renaming(b"text.txt", b"ok\t/../.envrc"),
    "only a first line with spaces": b"diff --git a/.envrc b/.envrc b/.envrc b/.envrc\nnew file mode 100644\n",
    "another name below": adding(b"a/ok b/ok", b"b/.envrc"),
    "no git header": b"--- a/.envrc\n+++ b/.envrc\n" + BODY,
    "a second one without header": adding(b"a/ok b/ok", b"b/ok") + b"--- /dev/null\n+++ b/.envrc\n" + BODY,
    "mode after the names": adding(b"a/l b/l", b"b/l\nnew file mode 120000"),
    "carriage return in a name": adding(b"a/.envrc b/.envrc", b"b/.envrc\r.txt"),
    "escape in a name": adding(b'"a/x\\033[2J" "b/x\\033[2J"', b'"b/x\\033[2J"'),
    "time behind the name": adding(b"a/.envrc b/.envrc", b"b/.envrc\t1970-01-01"),
    "empty context line": (
        b"diff --git a/.envrc b/.envrc\nindex 1..2 100644\n--- a/.envrc\n+++ b/.envrc\n@@ -1,2 +1,3 @@\n\n+x\n\n"
    ),
    "workflow": adding(b"a/%b b/%b" % (WORKFLOW, WORKFLOW), b"b/" + WORKFLOW),
}


class TestHostilePatches:
    @pytest.mark.parametrize("patch", HOSTILE.values(), ids=HOSTILE.keys())
    def test_are_refused_whatever_git_thinks_of_them(self, patch: bytes) -> None:
        with pytest.raises(WorkflowError) as refusal:
            check_patch(patch, PatchPolicy())
        assert refusal.value.code in (FailureCode.PATCH_REFUSED, FailureCode.PATCH_UNREADABLE)

    @pytest.mark.parametrize("patch", HOSTILE.values(), ids=HOSTILE.keys())
    def test_are_never_read_in_another_way_than_git_reads_them(self, repository: Path, patch: bytes) -> None:
        told = told_by_git(repository, patch)
        try:
            ours = told_by_us(read_patch(patch))
        except WorkflowError:
            return
        # Where git gives up at once, nothing can be applied, so how we read it does not matter.
        assert told is None or [(added, removed, os.path.normpath(path)) for added, removed, path in ours] == [
            (added, removed, os.path.normpath(path)) for added, removed, path in told
        ]

    @pytest.mark.parametrize("name", ["new link", "new submodule"])
    def test_modes_are_those_of_gits_summary(self, repository: Path, name: str) -> None:
        summary = git(repository, "apply", "--summary", "-", content=HOSTILE[name]).decode()
        (entry,) = read_patch(HOSTILE[name]).entries
        assert summary.strip() == f"create mode {entry.new_mode} {entry.path}"
