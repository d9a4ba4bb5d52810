"""Describe git as stages see it: a mirror, clean trees, the agent's tree, and the push."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from moonmind.domain.ports.forge import Remote
from moonmind.domain.results import FileChange


@dataclass(frozen=True)
class CommitOrder:
    """All that a commit's id depends on beside its tree, so that the same run makes the same commit."""

    message: str
    author_name: str
    author_email: str
    at: datetime


@dataclass(frozen=True)
class PushReport:
    """What the push did; `log` is safe to store."""

    branch: str
    commit_sha: str
    already_there: bool
    log: str


class CleanTree(Protocol):
    """A fresh working tree at one commit that no agent ever touched."""

    def apply(self, patch: bytes) -> None:
        """
        Apply a patch to tree and index, three-way where needed.

        Raises `patch_unreadable`, or `patch_conflict` with the conflict text in the fact `conflict`;
        the tree is then back at its commit.
        """

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, None where there is none."""

    def restore(self, path: str) -> None:
        """Bring one path back to what the commit has (or has not)."""

    def write(self, path: str, content: bytes) -> None:
        """Replace a tracked file's bytes and stage it."""

    def diff(self) -> bytes:
        """Return the staged difference to the commit, with full ids and binary content."""

    def changes(self) -> Sequence[FileChange]:
        """Count the staged changes, file by file, sorted by path."""

    def tree_id(self) -> str:
        """Return git's id of the staged tree: equal ids mean equal content."""

    def commit(self, order: CommitOrder) -> str:
        """Commit what is staged and return the id; the same order and tree give the same id."""


class AgentTree(Protocol):
    """A working tree of the agent's own, with its own repository; nothing is committed from it."""

    @property
    def path(self) -> Path:
        """Where the agent works."""

    def diff(self) -> bytes:
        """
        Return what the agent changed since the base commit, its own commits included.

        Reads the files through a git folder of ours, so that nothing the agent configured runs.
        """


class Workspace(Protocol):
    """Git: a mirror for each repository, and trees made from it."""

    def fetch(self, remote: Remote) -> None:
        """Bring the mirror up to date; raises `repository_unreachable` or `git_timed_out`."""

    def branch_tip(self, remote: Remote, branch: str) -> str | None:
        """Return the commit a branch had at the last fetch."""

    def list_files(self, remote: Remote, commit: str, under: str = "") -> Sequence[str]:
        """List the paths of all files of a commit, or those under one folder, sorted."""

    def read_file(self, remote: Remote, commit: str, path: str, *, limit: int) -> bytes | None:
        """
        Return a regular file of a commit, None where there is none.

        A link, folder or submodule at the path counts as none; at most `limit` + 1 bytes are read,
        so a longer answer than `limit` means that the file is too large.
        """

    def clean_tree(self, remote: Remote, commit: str) -> AbstractContextManager[CleanTree]:
        """Make a fresh tree; it is removed when the context ends."""

    def agent_tree(self, remote: Remote, commit: str, *, key: str) -> AgentTree:
        """Make the agent's tree under a key; an older tree of that key is removed first."""

    def drop_agent_tree(self, key: str) -> None:
        """Remove the tree of a key; nothing happens where there is none."""

    def remote_tip(self, remote: Remote, branch: str) -> str | None:
        """Ask the forge which commit a branch has now."""

    def push(self, remote: Remote, *, branch: str, commit: str, expected: str | None) -> PushReport:
        """
        Push with a lease on `expected` (None: the branch must not exist).

        Repeating is safe: a branch that already has the commit is reported as such. Raises
        `branch_moved`, `branch_protected`, `push_rejected` or `repository_unreachable`.
        """
