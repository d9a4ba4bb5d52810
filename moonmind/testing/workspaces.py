"""Stand in for git in tests: repositories in memory, refusing what git and a forge refuse."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import CleanTree, PushReport, Remote
from moonmind.domain.refs import is_branch_name
from moonmind.testing.clean_trees import InMemoryTree, Store
from moonmind.testing.unified_diffs import File, Files, write_patch


@dataclass
class _Repository:
    store: Store = field(default_factory=Store)
    """All commits, those of the mirror included: what git would call the objects."""
    branches: dict[str, str] = field(default_factory=dict)
    fetched: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)


class InMemoryAgentTree:
    """A real folder for the agent, compared with the base commit by reading it."""

    def __init__(self, path: Path, base: Files) -> None:
        self._path = path
        self._base = base

    @property
    def path(self) -> Path:
        """Where the agent works."""
        return self._path

    def diff(self) -> bytes:
        """Return what the agent changed; a link shows as a link, and `.git` is passed over."""
        return write_patch(self._base, dict(self._files()))

    def _files(self) -> Iterator[tuple[str, File]]:
        for folder, folders, names in os.walk(self._path):
            folders[:] = [name for name in folders if name != ".git"]
            for name in [*names, *folders]:
                file = Path(folder) / name
                path = file.relative_to(self._path).as_posix()
                kind = file.lstat().st_mode
                if stat.S_ISLNK(kind):
                    yield path, File(os.fsencode(file.readlink()), "120000")
                elif stat.S_ISREG(kind):
                    yield path, File(file.read_bytes(), "100755" if kind & stat.S_IXUSR else "100644")


class InMemoryWorkspace:
    """
    A workspace whose repositories are dictionaries; only agents' trees are real folders, below `root`.

    Tests arrange it with `add_repository`, `commit` and the other verbs below the port, and look at
    `pushed` for what came of it. `on_push` tells a fake forge of each push.
    """

    def __init__(self, root: Path, *, on_push: Callable[[str, str, str], None] | None = None) -> None:
        self._root = root
        self._on_push = on_push
        self._lock = RLock()
        self._repositories: dict[str, _Repository] = {}
        self._is_down = False
        self._answers_to_lose = 0
        self.pushed: list[PushReport] = []

    def fetch(self, remote: Remote) -> None:
        """Bring the mirror up to date; raises `repository_not_found` or `repository_unreachable`."""
        with self._lock:
            repository = self._reach(remote)
            repository.fetched = dict(repository.branches)

    def branch_tip(self, remote: Remote, branch: str) -> str | None:
        """Return the commit a branch had at the last fetch."""
        found = self._repositories.get(remote.repository)
        return found.fetched.get(branch) if found else None

    def list_files(self, remote: Remote, commit: str, under: str = "") -> Sequence[str]:
        """List the regular files of a commit, or those under one folder, sorted."""
        files = self._files(remote, commit)
        folder = f"{under.strip('/')}/" if under.strip("/") else ""
        return sorted(path for path, file in files.items() if path.startswith(folder) and file.mode.startswith("100"))

    def read_file(self, remote: Remote, commit: str, path: str, *, limit: int) -> bytes | None:
        """Return at most `limit` + 1 bytes of a regular file of a commit, None where there is none."""
        file = self._files(remote, commit).get(path)
        return file.content[: limit + 1] if file and file.mode.startswith("100") else None

    @contextmanager
    def clean_tree(self, remote: Remote, commit: str) -> Iterator[CleanTree]:
        """Make a fresh tree."""
        self._files(remote, commit)
        yield InMemoryTree(self._repositories[remote.repository].store, commit)

    def agent_tree(self, remote: Remote, commit: str, *, key: str) -> InMemoryAgentTree:
        """Make the agent's tree under a key; an older tree of that key is removed first."""
        self.drop_agent_tree(key)
        files = self._files(remote, commit)
        tree = self._root / key
        tree.mkdir(parents=True)
        for path, file in files.items():
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == "120000":
                place.symlink_to(os.fsdecode(file.content))
            else:
                place.write_bytes(file.content)
                place.chmod(0o755 if file.mode == "100755" else 0o644)
        return InMemoryAgentTree(tree, files)

    def drop_agent_tree(self, key: str) -> None:
        """Remove the tree of a key; nothing happens where there is none."""
        shutil.rmtree(self._root / key, ignore_errors=True)

    def remote_tip(self, remote: Remote, branch: str) -> str | None:
        """Ask which commit a branch has now."""
        return self._reach(remote).branches.get(branch)

    def push(self, remote: Remote, *, branch: str, commit: str, expected: str | None) -> PushReport:
        """Push with a lease on `expected`; repeating is safe."""
        with self._lock:
            repository = self._reach(remote)
            if not is_branch_name(branch):
                raise WorkflowError(FailureCode.PUSH_REJECTED, f"{branch!r} cannot be the name of a branch.", log="")
            tip = repository.branches.get(branch)
            report = PushReport(branch, commit, already_there=tip == commit, log=f"{branch}: {tip} -> {commit}\n")
            if report.already_there:
                return report
            if tip != expected:
                detail = f"The branch {branch} is at {tip}, which this service did not push."
                raise WorkflowError(FailureCode.BRANCH_MOVED, detail, log=report.log)
            if branch in repository.protected:
                raise WorkflowError(FailureCode.BRANCH_PROTECTED, f"{branch} is protected.", log=report.log)
            if commit not in repository.store.commits:
                raise WorkflowError(FailureCode.PUSH_REJECTED, f"There is no commit {commit} here.", log=report.log)
            repository.branches[branch] = commit
            self.pushed.append(report)
        if self._on_push is not None:
            self._on_push(remote.repository, branch, commit)
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, "The forge's answer was lost.", log=report.log)
        return report

    def add_repository(self, repository: str) -> None:
        """Make an empty repository."""
        self._repositories[repository.lower()] = _Repository()

    def commit(self, repository: str, branch: str, files: Mapping[str, bytes | File | None]) -> str:
        """
        Commit to a branch on the forge as somebody else would, and return the id.

        The files replace those of the branch's tip, or of nothing where it is new; None removes one.
        """
        with self._lock:
            found = self._repositories[repository.lower()]
            parent = found.branches.get(branch)
            tree = dict(found.store.commits[parent]) if parent else {}
            for path, content in files.items():
                tree.pop(path, None)
                if content is not None:
                    tree[path] = content if isinstance(content, File) else File(content)
            listing = json.dumps({path: (file.mode, file.blob_id) for path, file in sorted(tree.items())})
            made = hashlib.sha1(f"{parent} {branch} {listing}".encode(), usedforsecurity=False).hexdigest()
            found.store.commits[made] = tree
            found.branches[branch] = made
            return made

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch on the forge."""
        del self._repositories[repository.lower()].branches[branch]

    def protect(self, repository: str, branch: str) -> None:
        """Let the forge refuse every push to a branch."""
        self._repositories[repository.lower()].protected.add(branch)

    def files_of(self, repository: str, commit: str) -> Mapping[str, bytes]:
        """Return the content of a commit, whoever made it."""
        return {
            path: file.content for path, file in self._repositories[repository.lower()].store.commits[commit].items()
        }

    def go_down(self, *, is_down: bool = True) -> None:
        """Be unreachable until told otherwise; what was fetched can still be read."""
        self._is_down = is_down

    def lose_next_answer(self) -> None:
        """Take the next push, but fail as if its answer had been lost on the way."""
        self._answers_to_lose += 1

    def _reach(self, remote: Remote) -> _Repository:
        if self._is_down:
            raise WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, f"Git could not reach {remote.repository}.")
        found = self._repositories.get(remote.repository)
        if found is None:
            raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, f"There is no repository {remote.repository}.")
        return found

    def _files(self, remote: Remote, commit: str) -> Files:
        found = self._repositories.get(remote.repository)
        files = found.store.commits.get(commit) if found else None
        if files is None:
            raise WorkflowError(FailureCode.BASE_BRANCH_NOT_FOUND, f"There is no commit {commit}.")
        return files
