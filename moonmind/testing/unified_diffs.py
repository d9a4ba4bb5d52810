"""Write and replay git's patches without git, for the workspace that lives in memory."""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moonmind.domain.patch_entries import PatchEntry

_CONTEXT = 3
_NO_ID = "0" * 40
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
_UNFINISHED = b"\n\\ No newline at end of file\n"


@dataclass(frozen=True)
class File:
    """What a tree holds at one path; a link's content is its target."""

    content: bytes
    mode: str = "100644"

    @property
    def blob_id(self) -> str:
        """Git's id of the content."""
        header = f"blob {len(self.content)}\0".encode()
        return hashlib.sha1(header + self.content, usedforsecurity=False).hexdigest()


Files = Mapping[str, File]


class DoesNotFitError(Exception):
    """A hunk's lines are not in the file."""


def write_patch(old: Files, new: Files) -> bytes:
    """Return the patch between two trees as git writes it, all content as text."""
    changed = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    return b"".join(_entry(path, old.get(path), new.get(path)) for path in changed)


def count_lines(old: File | None, new: File | None) -> tuple[int, int]:
    """Return how many lines a change adds and removes."""
    before, after = lines_of(old), lines_of(new)
    added = removed = 0
    for tag, first, last, start, stop in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            removed += last - first
            added += stop - start
    return added, removed


def replay(entry: PatchEntry, content: bytes, *, reverse: bool = False) -> bytes:
    """Return what the entry makes of a file's content, or raise `DoesNotFitError`."""
    lines = _split(content)
    moved = 0
    for hunk in entry.hunks:
        old, new = _sides(entry.patch[hunk.start : hunk.end])
        if reverse:
            old, new = new, old
        at = _place(lines, old, expected=max(hunk.new_line - 1, 0) + (moved if reverse else 0))
        lines[at : at + len(old)] = new
        moved += len(new) - len(old)
    return b"".join(lines)


def lines_of(file: File | None) -> list[bytes]:
    """Split at line feeds alone, as git does."""
    return _split(file.content) if file else []


def _split(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _entry(path: str, old: File | None, new: File | None) -> bytes:
    if old and new and old.mode[:2] != new.mode[:2]:
        # A file that becomes a link is one removal and one addition.
        return _entry(path, old, None) + _entry(path, None, new)
    lines = [f"diff --git {_name('a/', path)} {_name('b/', path)}"]
    if old is None and new is not None:
        lines.append(f"new file mode {new.mode}")
    elif new is None and old is not None:
        lines.append(f"deleted file mode {old.mode}")
    elif old and new and old.mode != new.mode:
        lines += [f"old mode {old.mode}", f"new mode {new.mode}"]
    before, after = (file.content if file else b"" for file in (old, new))
    if before != after or old is None or new is None:
        ids = "..".join(file.blob_id if file else _NO_ID for file in (old, new))
        lines.append(f"index {ids}{f' {new.mode}' if old and new and old.mode == new.mode else ''}")
    header = "".join(f"{line}\n" for line in lines).encode()
    if before == after:
        return header
    sides = f"--- {_name('a/', path) if old else '/dev/null'}\n+++ {_name('b/', path) if new else '/dev/null'}\n"
    return header + sides.encode() + _hunks(_split(before), _split(after))


def _hunks(before: list[bytes], after: list[bytes]) -> bytes:
    text = b""
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        spans = (_span(first[1], last[2]), _span(first[3], last[4]))
        text += f"@@ -{spans[0]} +{spans[1]} @@\n".encode()
        for tag, start, stop, new_start, new_stop in group:
            if tag == "equal":
                text += _marked(b" ", before[start:stop])
                continue
            text += _marked(b"-", before[start:stop]) + _marked(b"+", after[new_start:new_stop])
    return text


def _span(start: int, stop: int) -> str:
    count = stop - start
    return f"{start + 1 if count else start},{count}"


def _marked(mark: bytes, lines: Sequence[bytes]) -> bytes:
    return b"".join(mark + line if line.endswith(b"\n") else mark + line + _UNFINISHED for line in lines)


def _sides(text: bytes) -> tuple[list[bytes], list[bytes]]:
    old: list[bytes] = []
    new: list[bytes] = []
    last: list[list[bytes]] = []
    for line in _split(text):
        kind, rest = line[:1], line[1:]
        if kind == b"\\":
            for side in last:
                side[-1] = side[-1].removesuffix(b"\n")
            continue
        last = {b"-": [old], b"+": [new]}.get(kind, [old, new])
        for side in last:
            side.append(line if kind == b"\n" else rest)
    return old, new


def _place(lines: list[bytes], block: list[bytes], *, expected: int) -> int:
    """Find the block where it should be, else nearest to it, as git does."""
    if not block:
        if lines and expected == 0:
            raise DoesNotFitError
        return min(expected, len(lines))
    places = [at for at in range(len(lines) - len(block) + 1) if lines[at : at + len(block)] == block]
    if not places:
        raise DoesNotFitError
    return min(places, key=lambda at: abs(at - expected))


def _name(prefix: str, path: str) -> str:
    raw = (prefix + path).encode("utf-8", "surrogateescape")
    if all(byte in _PLAIN for byte in raw):
        return raw.decode()
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in raw) + '"'
