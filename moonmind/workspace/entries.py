"""Read git's listings of trees and indexes; all are NUL-separated, so that no name can break them."""

from collections.abc import Iterator
from dataclasses import dataclass

from moonmind.domain.results import FileChange

REGULAR_MODES = frozenset({"100644", "100755"})
LINK_MODE = "120000"
SUBMODULE_MODE = "160000"


@dataclass(frozen=True)
class Entry:
    """One path of a tree or an index; stages above 0 are the sides of a conflict."""

    mode: str
    object_id: str
    path: str
    stage: int = 0

    @property
    def is_regular(self) -> bool:
        """True for a plain file: no link, no submodule."""
        return self.mode in REGULAR_MODES


def path_from(raw: bytes) -> str:
    """Decode a path so that any bytes survive the way there and back."""
    return raw.decode("utf-8", "surrogateescape")


def path_bytes(path: str) -> bytes:
    """Encode a path as git has it."""
    return path.encode("utf-8", "surrogateescape")


def index_entries(listing: bytes) -> Iterator[Entry]:
    """Read `ls-files --stage -z`."""
    for record in records(listing):
        head, _, path = record.partition(b"\t")
        mode, object_id, stage = head.decode().split(" ")
        yield Entry(mode, object_id, path_from(path), int(stage))


def tree_entries(listing: bytes) -> Iterator[Entry]:
    """Read `ls-tree -z`."""
    for record in records(listing):
        head, _, path = record.partition(b"\t")
        mode, _, object_id = head.decode().split(" ")
        yield Entry(mode, object_id, path_from(path))


def changes(listing: bytes) -> list[FileChange]:
    """Read `diff-index --raw --numstat -z --no-renames`: first all modes, then all counts."""
    modes: dict[str, tuple[str, str, str]] = {}
    found = []
    parts = records(listing)
    for part in parts:
        if part.startswith(b":"):
            old_mode, new_mode, _, _, status = part[1:].decode().split(" ")
            modes[path_from(next(parts))] = (old_mode, new_mode, status)
            continue
        insertions, deletions, raw_path = part.split(b"\t", 2)
        path = path_from(raw_path)
        old_mode, new_mode, status = modes[path]
        binary = insertions == b"-"
        added, removed = (0, 0) if binary else (int(insertions), int(deletions))
        found.append(FileChange(path, added, removed, binary, old_mode, new_mode, status))
    return sorted(found, key=lambda change: change.path)


def records(listing: bytes) -> Iterator[bytes]:
    """Split at NUL; the last record is ended by one too."""
    return (record for record in listing.split(b"\0") if record)
