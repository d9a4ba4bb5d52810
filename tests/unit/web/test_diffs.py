"""A diff is read as git writes it, whatever is in the files."""

import pytest

from api_service.web.diffs import read_diff

TEXT = b"""diff --git a/src/app.py b/src/app.py
index 1111111..2222222 100644
--- a/src/app.py
+++ b/src/app.py
@@ -3,3 +3,4 @@ def main():
 same
-old
+new
+diff --git a/forged b/forged
\\ No newline at end of file
@@ -20 +21 @@
--- old heading
+++ new heading
diff --git a/gone.txt b/gone.txt
deleted file mode 100644
index 1111111..0000000
--- a/gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-bye
diff --git a/empty file.txt b/empty file.txt
new file mode 100644
index 0000000..e69de29
diff --git a/old/a.txt b/a/new.txt
similarity index 100%
rename from old/a.txt
rename to a/new.txt
diff --git a/logo.png b/logo.png
index 1111111..2222222 100644
Binary files a/logo.png and b/logo.png differ
diff --git "a/tab\\there" "b/tab\\there"
new file mode 100644
--- /dev/null
+++ "b/tab\\there"
@@ -0,0 +1 @@
+x
"""


def test_every_file_is_named() -> None:
    paths = [file.path for file in read_diff(TEXT).files]
    assert paths == ["src/app.py", "gone.txt", "empty file.txt", "a/new.txt", "logo.png", "tab\\there"]


def test_lines_are_told_apart_and_numbered() -> None:
    lines = [(line.kind, line.text, line.before, line.after) for line in read_diff(TEXT).files[0].lines]
    assert lines == [
        ("hunk", "@@ -3,3 +3,4 @@ def main():", None, None),
        ("same", "same", 3, 3),
        ("removed", "old", 4, None),
        ("added", "new", None, 4),
        ("added", "diff --git a/forged b/forged", None, 5),
        ("note", " No newline at end of file", None, None),
        ("hunk", "@@ -20 +21 @@", None, None),
        ("removed", "-- old heading", 20, None),
        ("added", "++ new heading", None, 21),
    ]


def test_what_is_not_in_the_lines_is_a_note() -> None:
    notes = {file.path: file.note for file in read_diff(TEXT).files}
    assert notes["gone.txt"] == "deleted file mode 100644"
    assert notes["a/new.txt"] == "rename from old/a.txt · rename to a/new.txt"
    assert notes["logo.png"].startswith("Binary files")


def test_a_long_diff_is_cut_and_says_how_much_is_missing() -> None:
    diff = read_diff(TEXT, most_lines=3)
    assert sum(len(file.lines) for file in diff.files) == 3
    assert diff.left_out == 10
    assert (diff.files[0].added, diff.files[1].removed) == (3, 1)


def test_a_long_line_is_cut() -> None:
    line = read_diff(TEXT.replace(b"+new\n", b"+" + b"x" * 100_000 + b"\n")).files[0].lines[3]
    assert len(line.text) == 1_001


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe", b"no diff at all\n", TEXT[:300], TEXT.replace(b"\n", b"\r\n")]
)
def test_no_content_breaks_the_reader(content: bytes) -> None:
    read_diff(content)
