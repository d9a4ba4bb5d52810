"""Read a unified diff into files and lines, bounded, so that a page can colour it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST_LINES = 5_000
_LONGEST_LINE = 1_000
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_KINDS = {"+": "added", "-": "removed", " ": "same", "\\": "note"}


@dataclass(frozen=True)
class DiffLine:
    """One line: `added`, `removed`, `same`, `hunk` or `note`, with its numbers before and after."""

    kind: str
    text: str
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class FileDiff:
    """One file's part of a diff; `note` tells what is not in its lines, such as a rename."""

    path: str
    note: str
    lines: Sequence[DiffLine]
    added: int
    removed: int


@dataclass(frozen=True)
class Diff:
    """A diff; `left_out` counts the lines beyond the bound, which the numbers of the files include."""

    files: Sequence[FileDiff]
    left_out: int


def read_diff(content: bytes, *, most_lines: int = MOST_LINES) -> Diff:
    """Return the files of a diff as git writes it; lines beyond `most_lines` are counted, not kept."""
    # Not splitlines: a form feed or another odd line end belongs to the line.
    lines = content.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    starts = [number for number, line in enumerate(lines) if line.startswith("diff --git ")]
    files: list[FileDiff] = []
    room = most_lines
    left_out = 0
    for start, end in pairwise([*starts, len(lines)]):
        file = _file(lines[start:end])
        kept = file.lines[: max(0, room)]
        room -= len(kept)
        left_out += len(file.lines) - len(kept)
        files.append(FileDiff(file.path, file.note, kept, file.added, file.removed))
    return Diff(files, left_out)


def _file(lines: Sequence[str]) -> FileDiff:
    first_hunk = next((number for number, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    header = lines[:first_hunk]
    body = list(_numbered(lines[first_hunk:]))
    kinds = [line.kind for line in body]
    return FileDiff(_path(header), _note(header), body, kinds.count("added"), kinds.count("removed"))


def _numbered(lines: Sequence[str]) -> Iterator[DiffLine]:
    before = after = 0
    for line in lines:
        hunk = _HUNK.match(line)
        if hunk:
            before, after = int(hunk.group(1)), int(hunk.group(2))
            yield DiffLine("hunk", line[:_LONGEST_LINE])
            continue
        kind = _KINDS.get(line[:1], "note")
        text = line[1 : _LONGEST_LINE + 1] + ("…" if len(line) > _LONGEST_LINE + 1 else "")
        yield DiffLine(
            kind,
            text,
            before=before if kind in {"removed", "same"} else None,
            after=after if kind in {"added", "same"} else None,
        )
        before += kind in {"removed", "same"}
        after += kind in {"added", "same"}


def _path(header: Sequence[str]) -> str:
    for prefix, letter in (("+++ ", "b/"), ("--- ", "a/"), ("rename to ", ""), ("copy to ", "")):
        names = [line.removeprefix(prefix).rstrip("\t") for line in header[1:] if line.startswith(prefix)]
        for name in names:
            if name != "/dev/null":
                return _plain(name).removeprefix(letter)
    # A file without lines, such as an empty one: both names are the same, `a/NAME b/NAME`.
    both = header[0].removeprefix("diff --git ")
    return _plain(both[len(both) // 2 + 1 :]).removeprefix("b/")


def _plain(name: str) -> str:
    """Undo the quotes that git puts around a name with odd characters; escapes stay readable."""
    return name[1:-1] if len(name) > 1 and name.startswith('"') and name.endswith('"') else name


def _note(header: Sequence[str]) -> str:
    notes = [
        line
        for line in header[1:]
        if line.startswith(("new file", "deleted file", "old mode", "new mode", "rename ", "copy ", "Binary files"))
    ]
    return " · ".join(line[:_LONGEST_LINE] for line in notes)
