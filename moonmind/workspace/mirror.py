"""Keep one bare mirror of each repository, so that a run fetches what is new and nothing else."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.domain.refs import is_branch_name, is_commit_id
from moonmind.workspace.git import Git, GitFailedError, Repository
from moonmind.workspace.locks import locked
from moonmind.workspace.remotes import address, answers, failure, is_the_remotes_fault, short_name
from moonmind.workspace.removal import discard

MOST_PACKS = 24
"""With more packs than this, a fetch ends by joining them."""

_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", "--no-write-fetch-head")
_NO_REFERENCE = 128
_NO_MATCH = 1
_SUSPECT = "moonmind-suspect"
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[gc]
\tauto = 0
[uploadpack]
\tallowAnySHA1InWant = true
"""


class Mirror:
    """
    The mirror of one repository; its object store also holds the commits that we make.

    Nothing here collects garbage: a commit waits unreferenced between `commit` and `push`. Packs
    are only joined. It is there while agents work, and one that is not confined can write into it; so
    each command finds it with the config that we want.
    """

    def __init__(self, git: Git, folder: Path) -> None:
        self._git = git
        self._folder = folder
        self.repository = Repository(git, folder, config=_CONFIG)

    @property
    def objects(self) -> Path:
        """Where the objects are, for repositories that borrow them."""
        return self._folder / "objects"

    def fetch(self, remote: Remote) -> None:
        """
        Bring the mirror up to date; a damaged or half-made one is made anew.

        Repeating is safe, and so is fetching from several threads and processes at once: they
        take turns.
        """
        address(remote)
        with self._locked() as lock:
            if self._looks_sound() and self._try_to_update(remote, lock):
                self._join_packs(lock)
            else:
                self._make_anew(remote, lock)

    def branch_tip(self, branch: str) -> str | None:
        """Return the commit of a branch at the last fetch."""
        if not is_branch_name(branch) or not self._folder.exists():
            return None
        asked = ("show-ref", "--verify", "--hash", "--", f"refs/remotes/origin/{branch}")
        with self.reading():
            ended = self.repository.run(*asked, accept=(0, _NO_MATCH, _NO_REFERENCE))
        return ended.stdout.decode().strip() or None

    def require(self, remote: Remote, commit: str) -> None:
        """
        Make sure that a commit is here, asking the forge for it where it is not.

        Another host may have fetched it, or its branch may have been rewritten since. Raises
        `base_branch_not_found` when the forge has it no more.
        """
        if not is_commit_id(commit):
            message = f"{commit!r} is not a commit's id"
            raise ValueError(message)
        if self.has(commit):
            return
        self.fetch(remote)
        if self.has(commit):
            return
        try:
            with self._locked() as lock:
                self.repository.run(*_FETCH, "--", address(remote), commit, remote=remote, held=(lock,))
        except GitFailedError as error:
            if is_the_remotes_fault(error.ended):
                raise failure(remote, error.ended) from error
            detail = f"{remote.repository} does not have the commit {commit} any more; its branch was rewritten."
            raise WorkflowError(FailureCode.BASE_BRANCH_NOT_FOUND, detail) from error

    def has(self, commit: str) -> bool:
        """Tell whether a commit is in the object store, referenced or not."""
        if not self._folder.exists():
            return False
        asked = ("cat-file", "-e", f"{commit}^{{commit}}")
        return self.repository.run(*asked, accept=(0, _NO_MATCH, _NO_REFERENCE)).code == 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Treat a failure of git inside the block as damage, so that the next fetch makes the mirror anew."""
        try:
            yield
        except GitFailedError as error:
            if self._folder.exists():
                (self._folder / _SUSPECT).touch()
            detail = f"The local mirror {self._folder.name} cannot be read and will be made anew: {error}."
            raise WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, detail) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._folder.with_suffix(".lock"), timeout=self._git.timeout) as descriptor:
            yield descriptor

    def _looks_sound(self) -> bool:
        parts_are_there = all((self._folder / part).exists() for part in ("HEAD", "config", "objects", "refs"))
        return parts_are_there and not self._folder.is_symlink() and not (self._folder / _SUSPECT).exists()

    def _try_to_update(self, remote: Remote, lock: int) -> bool:
        """Fetch; return False when the mirror, not the remote, seems to be at fault."""
        self._clear_stale_locks()
        try:
            self._fetch_into(self.repository, remote, lock)
        except GitFailedError as error:
            remote_problem = error.ended if is_the_remotes_fault(error.ended) else answers(self._git, remote)
            if remote_problem is not None:
                raise failure(remote, remote_problem) from error
            return False
        return True

    def _fetch_into(self, repository: Repository, remote: Remote, lock: int) -> None:
        repository.run(*_FETCH, "--prune", "--", address(remote), _BRANCHES, remote=remote, held=(lock,))

    def _join_packs(self, lock: int) -> None:
        # Each fetch leaves a pack, and git searches them all. Joining small ones with their like
        # takes every object along, referenced or not.
        if sum(1 for _ in self.objects.glob("pack/*.pack")) > MOST_PACKS:
            with self.reading():
                self.repository.run("repack", "--quiet", "-d", "--geometric=2", held=(lock,))

    def _clear_stale_locks(self) -> None:
        # We hold the only lock under which references change, so these are of a killed git.
        (self._folder / "packed-refs.lock").unlink(missing_ok=True)
        for folder, _, files in os.walk(self._folder / "refs"):
            for name in files:
                if name.endswith(".lock"):
                    (Path(folder) / name).unlink(missing_ok=True)

    def _make_anew(self, remote: Remote, lock: int) -> None:
        # Beside the old one, which stays until the new one is complete.
        for leftover in self._folder.parent.glob(f"{self._folder.name}.*-*"):
            discard(leftover)
        fresh = Path(tempfile.mkdtemp(prefix=f"{self._folder.name}.new-", dir=self._folder.parent))
        try:
            Repository(self._git, fresh).run("init", "--quiet", "--bare", "--template=", "--initial-branch=main")
            self._fetch_into(replace(self.repository, folder=fresh), remote, lock)
        except GitFailedError as error:
            discard(fresh)
            raise failure(remote, error.ended) from error
        except WorkflowError:
            discard(fresh)
            raise
        if self._folder.exists() or self._folder.is_symlink():
            self._folder.rename(fresh.with_name(fresh.name.replace(".new-", ".old-")))
        fresh.rename(self._folder)
        for leftover in self._folder.parent.glob(f"{self._folder.name}.old-*"):
            discard(leftover)


def mirror_of(git: Git, root: Path, remote: Remote) -> Mirror:
    """Return the mirror of a remote; repositories of the same name on two forges are kept apart."""
    digest = hashlib.sha256(remote.url.encode()).hexdigest()[:16]
    return Mirror(git, root / "mirrors" / f"{short_name(remote.repository)}-{digest}.git")
