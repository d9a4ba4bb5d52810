"""Hold what a patch would do to each file."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hunk:
    """Where the lines of one hunk stand in the patch, and the number of its first new line."""

    start: int
    end: int
    new_line: int


@dataclass(frozen=True)
class PatchEntry:
    """
    What a patch does to one file.

    Paths are as git would write them into the tree, undecodable bytes as lone surrogates; the old
    one is None for a new file, the new one for a deleted file. Modes are empty where none is named.
    """

    old_path: str | None
    new_path: str | None
    old_mode: str
    new_mode: str
    copied: bool
    binary: bool
    unpacked_bytes: int
    """What the binary content of this entry takes once it is unpacked."""
    insertions: int
    deletions: int
    patch: bytes = field(repr=False)
    hunks: tuple[Hunk, ...] = field(repr=False)

    @property
    def path(self) -> str:
        """The path after the patch, for a deleted file the one before it."""
        return self.new_path or self.old_path or ""

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that the entry touches: two for a rename or copy."""
        return tuple(dict.fromkeys(path for path in (self.old_path, self.new_path) if path is not None))

    @property
    def added(self) -> bool:
        """True when the patch makes the file from nothing."""
        return self.old_path is None

    @property
    def deleted(self) -> bool:
        """True when the patch removes the file."""
        return self.new_path is None

    @property
    def renamed(self) -> bool:
        """True when the file moves to another path."""
        return not (self.added or self.deleted or self.copied) and self.old_path != self.new_path

    def added_lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each added line with its number in the new file, without its end of line."""
        for hunk in self.hunks:
            number, at = hunk.new_line, hunk.start
            while at < hunk.end:
                stop = self.patch.find(b"\n", at, hunk.end)
                stop = hunk.end if stop < 0 else stop
                kind = self.patch[at : at + 1]
                if kind == b"+":
                    yield number, self.patch[at + 1 : stop]
                number += kind not in (b"-", b"\\")
                at = stop + 1


@dataclass(frozen=True)
class PatchSummary:
    """All entries of a patch, in its order."""

    entries: tuple[PatchEntry, ...]
    size_bytes: int

    @property
    def unpacked_bytes(self) -> int:
        """What all binary content takes once it is unpacked."""
        return sum(entry.unpacked_bytes for entry in self.entries)
