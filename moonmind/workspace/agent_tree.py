"""Give the agent a repository of its own, and read its work through a git folder made after its end."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.workspace.entries import SUBMODULE_MODE, Entry, index_entries, path_bytes, path_from, records
from moonmind.workspace.git import OUTPUT_LIMIT, Git, GitFailedError, Repository
from moonmind.workspace.mirror import Mirror
from moonmind.workspace.process import Ended
from moonmind.workspace.removal import open_up

BRANCH = "work"
_FAILED = (0, 1, 128)
_UNTRACKED = ("ls-files", "--others", "--exclude-standard", "-z")
_NOT_TAKEN = (*_UNTRACKED, "--modified")
# In our own git folder this wins over every .gitattributes: bytes go in as they are, and no
# filter, encoding or diff driver is even looked for.
_RAW = "* !text !eol !crlf !ident !filter !working-tree-encoding !diff !merge !whitespace\n"
_CHUNK = 1000
_HERE: dict[str, str] = {"core.symlinks": "true", "transfer.fsckObjects": "false"}


class GitAgentTree:
    """
    The agent's tree in `tree`; what the agent writes into its `.git`, or beside the tree, is never read.

    Whoever reads the work makes a git folder for that alone, with an index of the base commit. So
    every file of the tree is read, not only those whose times changed.
    """

    def __init__(self, mirror: Mirror, folder: Path, commit: str, *, patch_limit: int = OUTPUT_LIMIT) -> None:
        self._mirror = mirror
        self._folder = folder
        self._commit = commit
        self._patch_limit = patch_limit

    @property
    def path(self) -> Path:
        """Where the agent works."""
        return self._folder / "tree"

    def diff(self) -> bytes:
        """
        Return what the agent changed since the base commit, its own commits included.

        Ignored files stay out. A repository inside the tree shows as a submodule, a link as a link,
        a pipe, socket or device in a file's place as its removal. Reads only the tree, so repeating
        is safe. Raises `patch_too_large`, or `patch_refused` for a file that git cannot take.

        The agent must have ended; its launcher leaves none of its processes. What could be left all
        the same is what it started through a service outside of its tree, or a command whose launcher
        was killed together with the worker. Such a process can still change the tree while it is read.
        If it is not confined either, it can find the git folder by listing and write into it before
        git reads it: then it runs as the worker, which it does already, being of the same user.
        """
        if self.path.is_symlink() or not self.path.is_dir():
            # Followed, a link would put files of the host into the patch.
            raise WorkflowError(FailureCode.PATCH_REFUSED, "The agent removed its tree or put a link in its place.")
        # What cannot be removed goes with the tree.
        with tempfile.TemporaryDirectory(prefix="ours-", dir=self._folder, ignore_cleanup_errors=True) as fresh:
            try:
                reader = self._make_reader(Path(fresh))
                self._take_in(reader)
                return self._difference(reader)
            except GitFailedError as error:
                detail = f"The agent's tree cannot be read: {error}."
                raise WorkflowError(FailureCode.PATCH_REFUSED, detail) from error

    def _make_reader(self, folder: Path) -> Repository:
        git = self._mirror.repository.git
        git.run(["init", "--quiet", "--bare", "--template=", "--", str(folder)])
        _write_attributes(folder)
        folder.joinpath("objects/info").mkdir(exist_ok=True)
        folder.joinpath("objects/info/alternates").write_text(f"{self._mirror.objects}\n")
        # Else objects could be borrowed from where the mirror does.
        self._mirror.repository.restore()
        reader = Repository(git, folder, index=folder / "index", work_tree=self.path)
        reader.run("read-tree", self._commit)
        return reader

    def _take_in(self, reader: Repository) -> None:
        tracked = list(index_entries(_whole(reader.run("ls-files", "--stage", "-z"))))
        submodules = [entry for entry in tracked if entry.mode == SUBMODULE_MODE]
        # With a submodule in the index, `add` would run `status` inside it, and with that the
        # filters of whatever the agent put there.
        _stage(reader, [Entry("0", "0" * len(entry.object_id), entry.path) for entry in submodules])
        self._refuse_large(reader, tracked)
        if reader.run("add", "--all", "--ignore-errors", settings=_HERE, accept=_FAILED).code != 0:
            open_up(self.path)
            self._refuse_large(reader, tracked)
            reader.run("add", "--all", "--ignore-errors", settings=_HERE, accept=_FAILED)
        _stage(reader, [entry for entry in submodules if self._is_empty_folder(entry.path)])
        _stage(reader, list(self._not_taken(reader)))

    def _not_taken(self, reader: Repository) -> Iterator[Entry]:
        """Decide about what `add` passes over: nothing that the agent left may vanish without a word."""
        for path in _paths(reader, *_NOT_TAKEN):
            kind = self._kind(path)
            if path.endswith("/") or (kind is not None and stat.S_ISDIR(kind)):
                # A repository without a commit; the id only has to be one.
                yield Entry(SUBMODULE_MODE, self._commit, path.rstrip("/"))
            elif kind is not None and (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
                detail = f"The agent left a file that git cannot take: {path!a}."
                raise WorkflowError(FailureCode.PATCH_REFUSED, detail, path=ascii(path))
            else:
                yield Entry("0", "0" * len(self._commit), path)

    def _refuse_large(self, reader: Repository, tracked: list[Entry]) -> None:
        """Look at sizes before anything is read: a file of holes may claim any size."""
        known = {entry.path: entry.object_id for entry in tracked if entry.mode != SUBMODULE_MODE}
        for path in (*known, *_paths(reader, *_UNTRACKED)):
            found = self._look(path)
            if found is None or not stat.S_ISREG(found.st_mode) or found.st_size <= self._patch_limit:
                continue
            # One that large may be in the base commit, and be as it was.
            if path not in known or found.st_size != _size(reader, known[path]):
                detail = f"The agent left a file of {found.st_size} bytes: {path!a}."
                raise WorkflowError(FailureCode.PATCH_TOO_LARGE, detail, path=ascii(path))

    def _difference(self, reader: Repository) -> bytes:
        asked = ("diff-index", "--cached", "--patch", "--full-index", "--binary", "--no-ext-diff", "--no-textconv")
        ended = reader.run(*asked, "--no-renames", self._commit, "--", limit=self._patch_limit)
        if ended.cut:
            detail = f"The agent's change has more than {self._patch_limit} bytes as a patch."
            raise WorkflowError(FailureCode.PATCH_TOO_LARGE, detail)
        return ended.stdout

    def _kind(self, path: str) -> int | None:
        found = self._look(path)
        return None if found is None else found.st_mode

    def _look(self, path: str) -> os.stat_result | None:
        try:
            return (self.path / path).lstat()
        except OSError:
            return None

    def _is_empty_folder(self, path: str) -> bool:
        kind = self._kind(path)
        return kind is not None and stat.S_ISDIR(kind) and not any((self.path / path).iterdir())


def make_agent_tree(git: Git, mirror: Mirror, folder: Path, commit: str) -> GitAgentTree:
    """
    Make the agent's repository in an empty folder.

    It has copies of the base commit's objects and nothing of the mirror's, so that
    it cannot damage the mirror whatever it does.
    """
    folder.mkdir(mode=0o700, parents=True)
    tree = folder / "tree"
    theirs = Repository(git, tree / ".git", work_tree=tree)
    git.run(["init", "--quiet", "--template=", f"--initial-branch={BRANCH}", "--", str(tree)])
    _write_config(tree / ".git")
    from_mirror = Remote(repository=folder.name, url=str(mirror.repository.folder), protocols=("file",))
    # What serves the fetch reads the mirror's config by itself.
    mirror.repository.restore()
    fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", from_mirror.url, commit)
    theirs.run(*fetch, remote=from_mirror, settings=_HERE)
    theirs.run("reset", "--quiet", "--hard", commit, settings=_HERE)
    return GitAgentTree(mirror, folder, commit)


def _write_config(git_folder: Path) -> None:
    # Agents commit; without a name that would fail, and a collector in the background would outlive them.
    _write_attributes(git_folder)
    with git_folder.joinpath("config").open("a") as config:
        config.write("[user]\n\tname = MoonMind agent\n\temail = agent@localhost\n[gc]\n\tauto = 0\n")


def _write_attributes(git_folder: Path) -> None:
    git_folder.joinpath("info").mkdir(exist_ok=True)
    git_folder.joinpath("info/attributes").write_text(_RAW)


def _whole(ended: Ended) -> bytes:
    if ended.cut:
        raise WorkflowError(FailureCode.PATCH_TOO_LARGE, "The agent's tree has more files than can be listed.")
    return ended.stdout


def _paths(reader: Repository, *asked: str) -> list[str]:
    return [path_from(record) for record in records(_whole(reader.run(*asked, settings=_HERE)))]


def _size(reader: Repository, object_id: str) -> int:
    return int(reader.run("cat-file", "-s", object_id).stdout)


def _stage(reader: Repository, entries: list[Entry]) -> None:
    for start in range(0, len(entries), _CHUNK):
        lines = (
            f"{entry.mode} {entry.object_id} 0\t".encode() + path_bytes(entry.path) + b"\0"
            for entry in entries[start : start + _CHUNK]
        )
        reader.run("update-index", "--add", "--replace", "-z", "--index-info", stdin=b"".join(lines))
