"""Patches as git writes them, and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_entries import PatchEntry
from moonmind.domain.patch_reading import read_patch

HEADER = b"diff --git a/x b/x\nindex 0000000..1111111 100644\n--- a/x\n+++ b/x\n"


def only(patch: bytes) -> PatchEntry:
    (entry,) = read_patch(patch).entries
    return entry


class TestEntries:
    def test_a_changed_file(self) -> None:
        entry = only(HEADER + b"@@ -1,3 +1,3 @@ def f():\n one\n-two\n+zwei\n three\n\\ No newline at end of file\n")
        assert (entry.old_path, entry.new_path, entry.old_mode, entry.new_mode) == ("x", "x", "100644", "100644")
        assert (entry.insertions, entry.deletions, entry.binary) == (1, 1, False)
        assert list(entry.added_lines()) == [(2, b"zwei")]

    def test_a_new_file(self) -> None:
        entry = only(
            b"diff --git a/n b/n\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+a\n+b\n"
        )
        assert (entry.added, entry.old_path, entry.new_mode) == (True, None, "100755")
        assert list(entry.added_lines()) == [(1, b"a"), (2, b"b")]

    def test_a_deleted_file(self) -> None:
        entry = only(
            b"diff --git a/d b/d\ndeleted file mode 100644\nindex 1..0\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
        )
        assert (entry.deleted, entry.path, entry.old_mode, entry.new_mode) == (True, "d", "100644", "")

    def test_an_empty_file_has_its_name_in_the_first_line_alone(self) -> None:
        entry = only(b"diff --git a/a b/c b/a b/c\nnew file mode 100644\nindex 0000000..e69de29\n")
        assert entry.path == "a b/c"

    def test_a_rename_with_spaces(self) -> None:
        entry = only(
            b"diff --git a/old name b/new name\nsimilarity index 100%\nrename from old name\nrename to new name\n"
        )
        assert (entry.renamed, entry.copied, entry.paths) == (True, False, ("old name", "new name"))

    def test_a_copy(self) -> None:
        entry = only(b"diff --git a/o b/n\nsimilarity index 100%\ncopy from o\ncopy to n\n")
        assert (entry.copied, entry.renamed, entry.paths) == (True, False, ("o", "n"))

    def test_a_changed_mode(self) -> None:
        entry = only(b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n")
        assert (entry.old_mode, entry.new_mode) == ("100644", "100755")

    def test_quoted_names(self) -> None:
        entry = only(
            b'diff --git "a/t\\tn\\nq\\"b\\\\\\303\\244" "b/t\\tn\\nq\\"b\\\\\\303\\244"\nnew file mode 100644\n'
        )
        assert entry.path == 't\tn\nq"b\\ä'

    def test_a_name_that_is_no_text_keeps_its_bytes(self) -> None:
        entry = only(b'diff --git "a/\\377" "b/\\377"\nnew file mode 100644\n')
        assert entry.path.encode("utf-8", "surrogateescape") == b"\xff"

    def test_a_name_with_a_space_ends_at_the_tab(self) -> None:
        entry = only(b"diff --git a/a b b/a b\nindex 0..1 100644\n--- a/a b\t\n+++ b/a b\t\n@@ -1 +1 @@\n-a\n+b\n")
        assert entry.path == "a b"

    def test_a_binary_file_tells_its_unpacked_size(self) -> None:
        entry = only(
            b"diff --git a/x b/x\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 1000\n"
            b"zcmZQ%00000000\n\nliteral 0\nHcmV?d00001\n\n"
        )
        assert (entry.binary, entry.unpacked_bytes) == (True, 1000)

    def test_several_hunks_count_on(self) -> None:
        entry = only(HEADER + b"@@ -1 +1 @@\n-a\n+b\n@@ -10,0 +11,2 @@\n+c\n+d\n")
        assert list(entry.added_lines()) == [(1, b"b"), (11, b"c"), (12, b"d")]

    def test_what_looks_like_a_header_inside_a_hunk_is_content(self) -> None:
        entry = only(HEADER + b"@@ -1,2 +1,2 @@\n--- a/evil\n+++ b/evil\n diff --git a/evil b/evil\n")
        assert list(entry.added_lines()) == [(1, b"++ b/evil")]

    def test_text_around_the_entries_is_passed_over(self) -> None:
        patch = (
            b"From: somebody\n\n"
            + HEADER
            + b"@@ -1 +1 @@\n-a\n+b\n-- \n2.39.5\n\ndiff --git a/y b/y\nnew file mode 100644\n"
        )
        assert [entry.path for entry in read_patch(patch).entries] == ["x", "y"]


class TestUnreadable:
    @pytest.mark.parametrize(
        "patch",
        [
            b"",
            b"\n",
            b"no patch at all",
            b"\x00\xff" * 100,
            b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
            HEADER + b"@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
            HEADER + b"@@ -1,9 +1,9 @@\n-a\n+b\n",
            HEADER + b"@@ -1 +1 @@\n-a\n-b\n+c\n",
            HEADER + b"@@ -1 +1 @@\nxyz\n",
            HEADER + b"@@ -x +y @@\n",
            HEADER + b"@@ -99999999999999 +1 @@\n-a\n",
            HEADER + b"garbage\n@@ -1 +1 @@\n-a\n+b\n",
            b"diff --git a/x b/y\nindex 0..1 100644\n",
            b"diff --git a/x b/x\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
            b"diff --git a/x b/x\nrename from x\nrename to y\n--- a/z\n",
            b"diff --git a/x b/x\nnew mode 100644\nnew mode 120000\n",
            b"diff --git a/x b/x\nnew file mode 100644\nnew mode 120000\n",
            b"diff --git a/x b/x\nnew file mode 100644\ndeleted file mode 100644\n",
            b"diff --git a/x b/x\nnew file mode 644\n",
            b"diff --git a/x b/y\nrename from x\nrename to y\t/../z\n",
            b'diff --git "a/x\\q" "b/x\\q"\nnew file mode 100644\n',
            b'diff --git "a/x" "b/x\nnew file mode 100644\n',
            b"diff --git a/" + b"x" * 70_000 + b"\n",
            b"diff --git a/x b/x\nindex 0..1 100644\nGIT binary patch\nliteral 10\nzcut off",
            b"diff --git a/x b/x\nindex 0..1 100644\nGIT binary patch\nnonsense\n",
            b"diff --git a/x b/x\nindex 0..1 100644\nGIT binary patch\ndelta 10\nzcmZQ%00000000\n\n",
        ],
    )
    def test_is_said_with_the_line(self, patch: bytes) -> None:
        with pytest.raises(WorkflowError) as refusal:
            read_patch(patch)
        assert refusal.value.code is FailureCode.PATCH_UNREADABLE
        assert "(line " in refusal.value.detail


PIECES = [
    b"diff --git a/x b/x\n",
    b'diff --git "a/x" "b/x"\n',
    b"--- a/x\n",
    b"+++ b/x\n",
    b"--- /dev/null\n",
    b"+++ /dev/null\n",
    b"new file mode 100644\n",
    b"deleted file mode 120000\n",
    b"old mode 100644\n",
    b"new mode 160000\n",
    b"index 1..2 100644\n",
    b"rename from x\n",
    b"rename to ../y\n",
    b"copy to .git/z\n",
    b"@@ -1 +1 @@\n",
    b"@@ -0,0 +1,2 @@\n",
    b"-a\n",
    b"+b\n",
    b" c\n",
    b"\n",
    b"GIT binary patch\n",
    b"literal 5\n",
    b"delta 5\n",
    b"McmZQ%00000000\n",
    b"\\ No newline at end of file\n",
    b"\xff\x00",
    b"Binary files a/x and b/x differ\n",
]


@given(st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)))
def test_any_bytes_are_read_or_refused(patch: bytes) -> None:
    try:
        entries = read_patch(patch).entries
    except WorkflowError as refusal:
        assert refusal.code is FailureCode.PATCH_UNREADABLE  # noqa: PT017 - most inputs are refused, none may crash
        return
    assert all(len(list(entry.added_lines())) == entry.insertions for entry in entries)
