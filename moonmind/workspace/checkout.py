"""Implement the workspace on git: mirrors, clean trees, agents' trees and the push, under one folder."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path, PurePosixPath

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import AgentTree, CleanTree, PushReport, Remote
from moonmind.workspace.agent_folders import agent_folder, remove_agent_tree
from moonmind.workspace.agent_tree import make_agent_tree
from moonmind.workspace.entries import Entry, tree_entries
from moonmind.workspace.git import Git, GitFailedError
from moonmind.workspace.mirror import Mirror, mirror_of
from moonmind.workspace.push import PushOrder, push
from moonmind.workspace.remotes import ask_tip
from moonmind.workspace.trees import index_tree

_DEFAULT_TIMEOUT = timedelta(minutes=10)


class GitWorkspace:
    """
    Git below one folder: `mirrors`, `agents`, `scratch`, and `git` with git's own settings.

    Safe to use from several threads, and from several processes that share the folder.
    """

    def __init__(
        self,
        root: Path,
        *,
        timeout: timedelta = _DEFAULT_TIMEOUT,
        surroundings: Mapping[str, str] | None = None,
        checks_objects: bool = True,
    ) -> None:
        """
        Take `surroundings` as the process's variables, of which only PATH, proxies and certificates are used.

        `timeout` bounds each git command and each wait for a mirror's lock.
        """
        self._root = root.absolute()
        self._git = Git(self._root / "git", timeout, surroundings or {}, checks_objects)

    def fetch(self, remote: Remote) -> None:
        """Bring the mirror up to date; repeating is safe."""
        self._mirror(remote).fetch(remote)

    def branch_tip(self, remote: Remote, branch: str) -> str | None:
        """Return the commit a branch had at the last fetch; None for what cannot be a branch."""
        return self._mirror(remote).branch_tip(branch)

    def list_files(self, remote: Remote, commit: str, under: str = "") -> Sequence[str]:
        """List the regular files of a commit, or those under one folder, sorted."""
        folder = under.strip("/")
        if under.startswith("/") or ".." in PurePosixPath(folder).parts:
            return []
        return sorted(entry.path for entry in self._listed(remote, commit, folder) if entry.is_regular)

    def read_file(self, remote: Remote, commit: str, path: str, *, limit: int) -> bytes | None:
        """Return at most `limit` + 1 bytes of a regular file of a commit, None where there is none."""
        if not path or path.startswith("/") or ".." in PurePosixPath(path).parts:
            return None
        mirror = self._mirror(remote)
        mirror.require(remote, commit)
        with mirror.reading():
            listing = mirror.repository.run("ls-tree", "-z", "--full-tree", commit, "--", path).stdout
            entry = next((found for found in tree_entries(listing) if found.path == path), None)
            if entry is None or not entry.is_regular:
                return None
            return mirror.repository.run("cat-file", "blob", entry.object_id, limit=limit + 1).stdout

    def clean_tree(self, remote: Remote, commit: str) -> AbstractContextManager[CleanTree]:
        """Make a tree that is an index over the mirror's objects; it goes when the context ends."""
        mirror = self._mirror(remote)
        mirror.require(remote, commit)
        return index_tree(mirror, commit, self._root / "scratch")

    def agent_tree(self, remote: Remote, commit: str, *, key: str) -> AgentTree:
        """
        Make the agent's tree under a key; repeating is safe, since an older one is removed first.

        Raises `repository_unreachable` when the mirror cannot be read or the disk is full.
        """
        mirror = self._mirror(remote)
        mirror.require(remote, commit)
        remove_agent_tree(self._root, key)
        try:
            return make_agent_tree(self._git, mirror, agent_folder(self._root, key), commit)
        except GitFailedError as error:
            remove_agent_tree(self._root, key)
            detail = f"The agent's tree could not be made: {error}."
            raise WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, detail) from error

    def drop_agent_tree(self, key: str) -> None:
        """Remove the tree of a key; nothing happens where there is none."""
        remove_agent_tree(self._root, key)

    def remote_tip(self, remote: Remote, branch: str) -> str | None:
        """Ask the forge which commit a branch has now; None for what cannot be a branch."""
        return ask_tip(self._git, remote, branch)

    def push(self, remote: Remote, *, branch: str, commit: str, expected: str | None) -> PushReport:
        """Push with a lease on `expected`; repeating is safe, see `moonmind.workspace.push`."""
        return push(self._mirror(remote).repository, PushOrder(remote, branch, commit, expected))

    def _mirror(self, remote: Remote) -> Mirror:
        return mirror_of(self._git, self._root, remote)

    def _listed(self, remote: Remote, commit: str, folder: str) -> Sequence[Entry]:
        mirror = self._mirror(remote)
        mirror.require(remote, commit)
        where = ("--", f"{folder}/") if folder else ()
        with mirror.reading():
            ended = mirror.repository.run("ls-tree", "-r", "-z", "--full-tree", commit, *where)
        if ended.cut:
            detail = f"{remote.repository} has more files than can be listed."
            raise WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, detail)
        return list(tree_entries(ended.stdout))
