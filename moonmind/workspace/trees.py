"""Apply a patch to an index over the mirror's objects, with no working tree that it could act on."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import CommitOrder
from moonmind.domain.results import FileChange
from moonmind.workspace.conflicts import describe_conflict
from moonmind.workspace.entries import Entry, changes, index_entries, path_bytes, tree_entries
from moonmind.workspace.git import OUTPUT_LIMIT, first_line
from moonmind.workspace.mirror import Mirror
from moonmind.workspace.process import Ended
from moonmind.workspace.removal import discard_old

_APPLY = ("apply", "--cached", "--whitespace=nowarn")
_LONGEST_LIFE = timedelta(days=1)
_CONFLICT = 1
_FATAL = 128
_ABSENT_MODE = "0"
_NAMES_IN_MESSAGE = 10
_REFUSED = (
    re.compile(r"^error: invalid path '(?P<path>.*)'$", re.MULTILINE),
    re.compile(r"^error: affected file '(?P<path>.*)' is beyond a symbolic link$", re.MULTILINE),
)


class IndexTree:
    """
    A clean tree as an index: what is staged is the tree, and blobs go to the mirror's object store.

    Nothing of the repository or of a patch is written as a file, so links, filters, hooks and
    attributes have nothing to act on.
    """

    def __init__(self, mirror: Mirror, commit: str, folder: Path) -> None:
        self._mirror = mirror
        self._commit = commit
        self._folder = folder
        self._index = replace(mirror.repository, index=folder / "index")
        self._reset()

    def apply(self, patch: bytes) -> None:
        """
        Apply a patch, three-way where the blobs it names are known.

        Raises `patch_unreadable`, `patch_refused` for a path that git takes for an attack, or
        `patch_conflict` with the text in the fact `conflict`; after either the index is back at
        the commit. A patch whose effect is already there changes nothing.
        """
        with self._mirror.reading():
            self._refuse_unreadable(patch)
            before = self._folder / "before"
            shutil.copyfile(self._folder / "index", before)
            # Forwards first: in a file of repeated lines a patch that merely could be taken back
            # need not have been applied.
            ended = self._index.run(*_APPLY, "--3way", "-", stdin=patch, accept=(0, _CONFLICT, _FATAL))
            if ended.code == 0:
                self._refuse_odd_names()
                return
            self._refuse_bad_paths(ended)
            paths, text = describe_conflict(self._index, ended.stderr, scratch=self._folder)
            before.replace(self._folder / "index")
            back = self._index.run(*_APPLY, "--reverse", "--check", "-", stdin=patch, accept=(0, _CONFLICT, _FATAL))
            if back.code == 0:
                return
            self._reset()
        names = ", ".join(paths[:_NAMES_IN_MESSAGE]) or first_line(ended.stderr)
        raise WorkflowError(FailureCode.PATCH_CONFLICT, f"The patch does not fit: {names}.", conflict=text, files=paths)

    def read(self, path: str) -> bytes | None:
        """Return a regular file's bytes; a link or submodule counts as none."""
        with self._mirror.reading():
            entry = self._entry(path)
            if entry is None or not entry.is_regular:
                return None
            ended = self._index.run("cat-file", "blob", entry.object_id)
        if ended.cut:
            raise WorkflowError(FailureCode.PATCH_TOO_LARGE, f"{path} has more than {OUTPUT_LIMIT} bytes.")
        return ended.stdout

    def restore(self, path: str) -> None:
        """Bring one path back to what the commit has (or has not), in place of whatever is there."""
        with self._mirror.reading():
            listing = self._index.run("ls-tree", "-z", "--full-tree", self._commit, "--", path).stdout
            entry = next((found for found in tree_entries(listing) if found.path == path), None)
            self._stage(entry or Entry(_ABSENT_MODE, "0" * len(self._commit), path))

    def write(self, path: str, content: bytes) -> None:
        """Replace a tracked regular file's bytes; raises ValueError where there is none."""
        with self._mirror.reading():
            entry = self._entry(path)
            if entry is None or not entry.is_regular:
                message = f"{path!r} is not a tracked file"
                raise ValueError(message)
            written = self._index.run("hash-object", "-w", "--no-filters", "--stdin", stdin=content)
            self._stage(replace(entry, object_id=written.stdout.decode().strip()))

    def diff(self) -> bytes:
        """Return the staged difference, with full ids and binary content; raises `patch_too_large`."""
        asked = ("diff-index", "--cached", "--patch", "--full-index", "--binary", "--no-ext-diff", "--no-textconv")
        with self._mirror.reading():
            ended = self._index.run(*asked, "--no-renames", self._commit, "--")
        if ended.cut:
            detail = f"The change has more than {OUTPUT_LIMIT} bytes as a patch."
            raise WorkflowError(FailureCode.PATCH_TOO_LARGE, detail)
        return ended.stdout

    def changes(self) -> Sequence[FileChange]:
        """Count the staged changes, file by file, sorted by path."""
        asked = ("diff-index", "--cached", "--raw", "--numstat", "-z", "--no-renames", "--no-abbrev")
        with self._mirror.reading():
            return changes(self._index.run(*asked, self._commit, "--").stdout)

    def tree_id(self) -> str:
        """Return git's id of the staged tree."""
        with self._mirror.reading():
            return self._index.run("write-tree").stdout.decode().strip()

    def commit(self, order: CommitOrder) -> str:
        """
        Make the commit and return its id; its parent is the tree's commit.

        Repeating is safe: identity, dates and message come from the order, so the id is the same.
        The commit is referenced by nothing until it is pushed.
        """
        if order.at.tzinfo is None:
            message = "a commit's time needs a time zone"
            raise ValueError(message)
        date = f"{int(order.at.timestamp())} +0000"
        identity = {
            f"GIT_{role}_{field}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in (("NAME", order.author_name), ("EMAIL", order.author_email), ("DATE", date))
        }
        command = ("commit-tree", self.tree_id(), "-p", self._commit, "-F", "-")
        with self._mirror.reading():
            made = self._index.run(*command, stdin=order.message.encode(), variables=identity)
        return made.stdout.decode().strip()

    def _reset(self) -> None:
        with self._mirror.reading():
            self._index.run("read-tree", self._commit)

    def _entry(self, path: str) -> Entry | None:
        listing = self._index.run("ls-files", "--stage", "-z", "--", path).stdout
        return next((entry for entry in index_entries(listing) if entry.path == path), None)

    def _stage(self, entry: Entry) -> None:
        line = f"{entry.mode} {entry.object_id} 0\t".encode() + path_bytes(entry.path) + b"\0"
        self._index.run("update-index", "--add", "--replace", "-z", "--index-info", stdin=line)

    def _refuse_unreadable(self, patch: bytes) -> None:
        ended = self._index.run("apply", "--numstat", "-z", "-", stdin=patch, accept=(0, _CONFLICT, _FATAL))
        if ended.code != 0:
            detail = f"Git cannot read the patch: {first_line(ended.stderr)}."
            raise WorkflowError(FailureCode.PATCH_UNREADABLE, detail)

    def _refuse_bad_paths(self, ended: Ended) -> None:
        found = next((match for pattern in _REFUSED if (match := pattern.search(ended.stderr))), None)
        if found:
            self._reset()
            path = found["path"]
            detail = f"The patch reaches outside of what a patch may change: {path} ({first_line(ended.stderr)})."
            raise WorkflowError(FailureCode.PATCH_REFUSED, detail, path=path)

    def _refuse_odd_names(self) -> None:
        # Such a name cannot be stored or shown as what it is.
        odd = next((change.path for change in self.changes() if not change.path.isprintable()), None)
        if odd is not None:
            self._reset()
            shown = ascii(odd)
            detail = f"The patch has a file name with characters that cannot be shown: {shown}."
            raise WorkflowError(FailureCode.PATCH_REFUSED, detail, path=shown)


@contextmanager
def index_tree(mirror: Mirror, commit: str, scratch: Path) -> Iterator[IndexTree]:
    """Make a tree; its index lives in a folder of its own, which goes when the context ends."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A killed worker cannot remove its own.
    discard_old(scratch, age=_LONGEST_LIFE)
    with tempfile.TemporaryDirectory(prefix="tree-", dir=scratch) as folder:
        yield IndexTree(mirror, commit, Path(folder))
