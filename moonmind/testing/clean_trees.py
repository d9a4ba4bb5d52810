"""Apply patches to trees in memory, as strictly as git does to a clean tree."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_entries import PatchEntry
from moonmind.domain.patch_reading import read_patch
from moonmind.domain.ports import CommitOrder
from moonmind.domain.results import FileChange
from moonmind.testing.unified_diffs import DoesNotFitError, File, Files, count_lines, replay, write_patch

_NO_MODE = "000000"


@dataclass
class Store:
    """The commits of a repository, pushed or not."""

    commits: dict[str, Files] = field(default_factory=dict)


class InMemoryTree:
    """A clean tree over one commit of a store."""

    def __init__(self, store: Store, commit: str) -> None:
        self._store = store
        self._commit = commit
        self._base = store.commits[commit]
        self._files = dict(self._base)

    def apply(self, patch: bytes) -> None:
        """Apply a patch whole or not at all; raises as git's tree does."""
        entries = read_patch(patch).entries
        for path in (path for entry in entries for path in entry.paths):
            _refuse_path(path, self._files)
        try:
            files = dict(self._files)
            for entry in entries:
                _apply_entry(entry, files)
            self._files = files
        except DoesNotFitError:
            if not all(_is_applied(entry, self._files) for entry in entries):
                self._files = dict(self._base)
                names = sorted({entry.path for entry in entries})
                detail = f"The patch does not fit: {', '.join(names)}."
                text = f"{detail}\n{patch.decode(errors='replace')}"
                raise WorkflowError(FailureCode.PATCH_CONFLICT, detail, conflict=text, files=names) from None

    def read(self, path: str) -> bytes | None:
        """Return a regular file's bytes, None where there is none."""
        file = self._files.get(path)
        return file.content if file and file.mode.startswith("100") else None

    def restore(self, path: str) -> None:
        """Bring one path back to what the commit has (or has not)."""
        self._files.pop(path, None)
        if path in self._base:
            for inside in [name for name in self._files if name.startswith(f"{path}/")]:
                del self._files[inside]
            self._files[path] = self._base[path]

    def write(self, path: str, content: bytes) -> None:
        """Replace a tracked file's bytes; raises ValueError where there is none."""
        if self.read(path) is None:
            message = f"{path!r} is not a tracked file"
            raise ValueError(message)
        self._files[path] = File(content, self._files[path].mode)

    def diff(self) -> bytes:
        """Return the difference to the commit."""
        return write_patch(self._base, self._files)

    def changes(self) -> Sequence[FileChange]:
        """Count the changes, file by file, sorted by path."""
        paths = sorted(self._base.keys() | self._files.keys())
        return [
            _change(path, self._base.get(path), self._files.get(path))
            for path in paths
            if self._base.get(path) != self._files.get(path)
        ]

    def tree_id(self) -> str:
        """Return an id of the content: equal ids mean equal content."""
        listing = "".join(f"{path}\0{file.mode}\0{file.blob_id}\n" for path, file in sorted(self._files.items()))
        return hashlib.sha1(listing.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()

    def commit(self, order: CommitOrder) -> str:
        """Keep the content as a commit; the same order and content give the same id."""
        said = (order.message, order.author_name, order.author_email, str(int(order.at.timestamp())))
        text = "\0".join((self._commit, self.tree_id(), *said))
        made = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._store.commits[made] = dict(self._files)
        return made


def _refuse_path(path: str, files: Files) -> None:
    parts = path.split("/")
    problem = ""
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        problem = "reaches outside of what a patch may change"
    elif any(_is_link("/".join(parts[:count]), files) for count in range(1, len(parts))):
        problem = "goes through a link"
    elif not path.isprintable():
        problem = "has characters that cannot be shown"
    if problem:
        raise WorkflowError(FailureCode.PATCH_REFUSED, f"A path of the patch {problem}: {path!a}.", path=ascii(path))


def _is_link(path: str, files: Files) -> bool:
    return path in files and files[path].mode == "120000"


def _apply_entry(entry: PatchEntry, files: dict[str, File]) -> None:
    old = files.get(entry.old_path) if entry.old_path is not None else None
    if (old is None) != entry.added or (entry.added and entry.path in files):
        raise DoesNotFitError
    content = replay(entry, old.content if old else b"")
    if entry.old_path is not None and not entry.copied:
        del files[entry.old_path]
    if entry.new_path is not None:
        files[entry.new_path] = File(content, entry.new_mode or (old.mode if old else "100644"))
    elif content:
        raise DoesNotFitError


def _is_applied(entry: PatchEntry, files: Files) -> bool:
    """Tell whether the patch could be taken back, so that there is nothing left to do."""
    if entry.new_path is None:
        return entry.path not in files
    file = files.get(entry.new_path)
    if file is None:
        return False
    try:
        before = replay(entry, file.content, reverse=True)
    except DoesNotFitError:
        return False
    return not (entry.added and before)


def _change(path: str, old: File | None, new: File | None) -> FileChange:
    added, removed = count_lines(old, new)
    status = "A" if old is None else "D" if new is None else "T" if old.mode[:2] != new.mode[:2] else "M"
    return FileChange(
        path,
        insertions=added,
        deletions=removed,
        old_mode=old.mode if old else _NO_MODE,
        new_mode=new.mode if new else _NO_MODE,
        status=status,
    )
