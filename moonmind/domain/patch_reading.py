"""Read what a git patch would do, in linear time, before git is allowed to do it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_entries import Hunk, PatchEntry, PatchSummary
from moonmind.domain.patch_headers import (
    HEADER_FIELD,
    HeaderUnreadableError,
    delta_target_size,
    entry_modes,
    entry_paths,
)

_START = b"diff --git "
# Git reads these wherever they stand, so a patch that has one in an odd place is not skipped over.
_OUTSIDE = re.compile(rb"^(?:diff --git |--- |\+\+\+ |@@ -)", re.MULTILINE)
_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_BINARY_START = b"GIT binary patch"
_BINARY_SIZE = re.compile(rb"(literal|delta) (\d{1,15})\n")
_BINARY_LINES = re.compile(rb"(?:[A-Za-z][0-9A-Za-z!#$%&+()*;<=>?@^_`{|}~-]{5,65}\n)*")
_LONGEST_HEADER_LINE = 64 * 1024
_MOST_ENTRIES = 100_000


def read_patch(patch: bytes) -> PatchSummary:
    """
    Read a patch as `git diff --full-index --binary` writes it.

    Text between the entries is passed over, as git does. Whatever git could understand in another
    way than this reader raises `patch_unreadable`; so does an empty patch.
    """
    return PatchSummary(tuple(_Reader(patch).entries()), len(patch))


@dataclass(frozen=True)
class _Body:
    binary: bool = False
    unpacked_bytes: int = 0
    insertions: int = 0
    deletions: int = 0
    hunks: tuple[Hunk, ...] = ()


class _Reader:
    def __init__(self, patch: bytes) -> None:
        self._patch = patch
        self._at = 0

    def entries(self) -> list[PatchEntry]:
        entries: list[PatchEntry] = []
        while match := _OUTSIDE.search(self._patch, self._at):
            self._at = match.start()
            if match[0] != _START:
                self._give_up("has a change without a `diff --git` line before it")
            if len(entries) == _MOST_ENTRIES:
                self._give_up("has more entries than any change could need")
            entries.append(self._entry())
        if not entries:
            self._give_up("has no `diff --git` line")
        return entries

    def _entry(self) -> PatchEntry:
        start = self._at
        names = self._header_line().removeprefix(_START)
        fields = self._fields()
        try:
            old, new = entry_paths(names, fields)
            old_mode, new_mode = entry_modes(fields)
        except HeaderUnreadableError:
            self._at = start
            self._give_up("has a header whose names or modes cannot be read")
        body = self._body()
        return PatchEntry(
            old_path=old,
            new_path=new,
            old_mode=old_mode,
            new_mode=new_mode,
            copied=b"copy to" in fields,
            binary=body.binary,
            unpacked_bytes=body.unpacked_bytes,
            insertions=body.insertions,
            deletions=body.deletions,
            patch=self._patch,
            hunks=body.hunks,
        )

    def _fields(self) -> Mapping[bytes, bytes]:
        fields: dict[bytes, bytes] = {}
        while match := HEADER_FIELD.match(self._peek()):
            name, value = match.groups()
            if name in fields:
                self._give_up("says the same thing twice in a header")
            fields[name] = value
            self._header_line()
        return fields

    def _body(self) -> _Body:
        line = self._peek()
        if line.startswith(b"@@ -"):
            return self._text()
        if line == _BINARY_START:
            self._header_line()
            return _Body(binary=True, unpacked_bytes=self._binary())
        return _Body(binary=line.startswith((b"Binary files ", b"Files ")) and line.endswith(b" differ"))

    def _text(self) -> _Body:
        hunks: list[Hunk] = []
        insertions = deletions = 0
        while self._peek().startswith(b"@@ -"):
            match = _HUNK.match(self._header_line())
            if match is None:
                self._give_up("has a hunk whose header cannot be read")
            _, old_lines, new_line, new_lines = (None if digits is None else int(digits) for digits in match.groups())
            start = self._at
            added, removed = self._hunk(1 if old_lines is None else old_lines, 1 if new_lines is None else new_lines)
            hunks.append(Hunk(start, self._at, new_line or 0))
            insertions += added
            deletions += removed
        return _Body(insertions=insertions, deletions=deletions, hunks=tuple(hunks))

    def _hunk(self, old_left: int, new_left: int) -> tuple[int, int]:
        """Pass over the lines that the header counts, and return how many are added and removed."""
        patch, at = self._patch, self._at
        added = removed = 0
        while old_left or new_left:
            kind = patch[at : at + 1]
            if kind == b"+":
                new_left -= 1
                added += 1
            elif kind == b"-":
                old_left -= 1
                removed += 1
            elif kind in (b" ", b"\n"):
                old_left -= 1
                new_left -= 1
            elif kind != b"\\":
                self._at = at
                self._give_up("has a hunk that is cut off or damaged")
            if old_left < 0 or new_left < 0:
                self._at = at
                self._give_up("has a hunk with other lines than its header counts")
            end = patch.find(b"\n", at)
            at = len(patch) if end < 0 else end + 1
        if patch[at : at + 2] == b"\\ ":
            end = patch.find(b"\n", at)
            at = len(patch) if end < 0 else end + 1
        self._at = at
        return added, removed

    def _binary(self) -> int:
        """Pass over the new content, and the old one where it follows; return the size of the new."""
        size = self._binary_part()
        if size is None:
            self._give_up("has a binary part that cannot be read")
        self._binary_part()
        return size

    def _binary_part(self) -> int | None:
        head = _BINARY_SIZE.match(self._patch, self._at)
        if head is None:
            return None
        lines = _BINARY_LINES.match(self._patch, head.end())
        end = lines.end() if lines else head.end()
        if self._patch[end : end + 1] != b"\n":
            self._give_up("has a binary part that is cut off or damaged")
        self._at = end + 1
        if head[1] == b"literal":
            return int(head[2])
        target = delta_target_size(self._patch[head.end() : end])
        if target is None:
            self._give_up("has a binary part that cannot be unpacked")
        return target

    def _peek(self) -> bytes:
        end = self._patch.find(b"\n", self._at, self._at + _LONGEST_HEADER_LINE)
        return self._patch[self._at : end if end >= 0 else self._at + _LONGEST_HEADER_LINE]

    def _header_line(self) -> bytes:
        line = self._peek()
        self._at += len(line)
        if len(line) == _LONGEST_HEADER_LINE:
            self._give_up("has a header line that is too long")
        self._at += 1
        return line

    def _give_up(self, what: str) -> NoReturn:
        line = self._patch.count(b"\n", 0, self._at) + 1
        raise WorkflowError(FailureCode.PATCH_UNREADABLE, f"The patch {what} (line {line}).", line=line)
