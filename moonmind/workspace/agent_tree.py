"""Give the agent a repository of its own, and read its work through a git folder it cannot reach."""

import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.workspace.entries import SUBMODULE_MODE, Entry, index_entries, path_bytes, path_from, records
from moonmind.workspace.git import OUTPUT_LIMIT, Git, GitFailedError, Repository
from moonmind.workspace.mirror import Mirror
from moonmind.workspace.removal import open_up

BRANCH = "work"
_FAILED = (0, 1, 128)
_NOT_TAKEN = ("ls-files", "--others", "--modified", "--exclude-standard", "-z")
# In our own git folder this wins over every .gitattributes: bytes go in as they are, and no
# filter, encoding or diff driver is even looked for.
_RAW = "* !text !eol !crlf !ident !filter !working-tree-encoding !diff !merge !whitespace\n"
_CHUNK = 1000
_HERE: dict[str, str] = {"core.symlinks": "true", "transfer.fsckObjects": "false"}


class GitAgentTree:
    """
    The agent's tree in `tree`, and beside it our own git folder `ours` with the index as it began.

    Whatever the agent writes into its `.git` is never read.
    """

    def __init__(self, git: Git, folder: Path, commit: str, *, patch_limit: int = OUTPUT_LIMIT) -> None:
        self._folder = folder
        self._commit = commit
        self._patch_limit = patch_limit
        self._ours = Repository(git, folder / "ours", work_tree=folder / "tree")

    @property
    def path(self) -> Path:
        """Where the agent works."""
        return self._folder / "tree"

    def diff(self) -> bytes:
        """
        Return what the agent changed since the base commit, its own commits included.

        Ignored files stay out. A repository inside the tree shows as a submodule, a link as a link,
        a pipe, socket or device in a file's place as its removal. Reads only the tree, so repeating
        is safe; no agent may be at work. Raises `patch_too_large`, or `patch_refused` for a file
        that git cannot take.
        """
        if self.path.is_symlink() or not self.path.is_dir():
            # Followed, a link would put files of the host into the patch.
            raise WorkflowError(FailureCode.PATCH_REFUSED, "The agent removed its tree or put a link in its place.")
        with tempfile.TemporaryDirectory(prefix="diff-", dir=self._folder) as scratch:
            index = Path(scratch) / "index"
            shutil.copyfile(self._folder / "index", index)
            reader = replace(self._ours, index=index)
            try:
                self._take_in(reader)
                return self._difference(reader)
            except GitFailedError as error:
                detail = f"The agent's tree cannot be read: {error}."
                raise WorkflowError(FailureCode.PATCH_REFUSED, detail) from error

    def _take_in(self, reader: Repository) -> None:
        listing = reader.run("ls-files", "--stage", "-z").stdout
        submodules = [entry for entry in index_entries(listing) if entry.mode == SUBMODULE_MODE]
        # With a submodule in the index, `add` would run `status` inside it, and with that the
        # filters of whatever the agent put there.
        _stage(reader, [Entry("0", "0" * len(entry.object_id), entry.path) for entry in submodules])
        self._refuse_large(reader)
        if reader.run("add", "--all", "--ignore-errors", settings=_HERE, accept=_FAILED).code != 0:
            open_up(self.path)
            reader.run("add", "--all", "--ignore-errors", settings=_HERE, accept=_FAILED)
        _stage(reader, [entry for entry in submodules if self._is_empty_folder(entry.path)])
        _stage(reader, list(self._not_taken(reader)))

    def _not_taken(self, reader: Repository) -> Iterator[Entry]:
        """Decide about what `add` passes over: nothing that the agent left may vanish without a word."""
        for path in self._pending(reader):
            kind = self._kind(path)
            if path.endswith("/") or (kind is not None and stat.S_ISDIR(kind)):
                # A repository without a commit; the id only has to be one.
                yield Entry(SUBMODULE_MODE, self._commit, path.rstrip("/"))
            elif kind is not None and (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
                detail = f"The agent left a file that git cannot take: {path!a}."
                raise WorkflowError(FailureCode.PATCH_REFUSED, detail, path=ascii(path))
            else:
                yield Entry("0", "0" * len(self._commit), path)

    def _refuse_large(self, reader: Repository) -> None:
        for path in self._pending(reader):
            try:
                size = (self.path / path).lstat().st_size
            except OSError:
                continue
            if size > self._patch_limit:
                detail = f"The agent left a file of {size} bytes: {path!a}."
                raise WorkflowError(FailureCode.PATCH_TOO_LARGE, detail, path=ascii(path))

    def _pending(self, reader: Repository) -> list[str]:
        ended = reader.run(*_NOT_TAKEN, settings=_HERE)
        if ended.cut:
            raise WorkflowError(FailureCode.PATCH_TOO_LARGE, "The agent left more files than can be listed.")
        return [path_from(record) for record in records(ended.stdout)]

    def _difference(self, reader: Repository) -> bytes:
        asked = ("diff-index", "--cached", "--patch", "--full-index", "--binary", "--no-ext-diff", "--no-textconv")
        ended = reader.run(*asked, "--no-renames", self._commit, "--", limit=self._patch_limit)
        if ended.cut:
            detail = f"The agent's change has more than {self._patch_limit} bytes as a patch."
            raise WorkflowError(FailureCode.PATCH_TOO_LARGE, detail)
        return ended.stdout

    def _kind(self, path: str) -> int | None:
        try:
            return (self.path / path).lstat().st_mode
        except OSError:
            return None

    def _is_empty_folder(self, path: str) -> bool:
        kind = self._kind(path)
        return kind is not None and stat.S_ISDIR(kind) and not any((self.path / path).iterdir())


def make_agent_tree(git: Git, mirror: Mirror, folder: Path, commit: str) -> GitAgentTree:
    """
    Make both repositories in an empty folder.

    The agent's one has copies of the base commit's objects and nothing of the mirror's, so that
    it cannot damage the mirror whatever it does.
    """
    folder.mkdir(mode=0o700, parents=True)
    tree = folder / "tree"
    theirs = Repository(git, tree / ".git", work_tree=tree)
    git.run(["init", "--quiet", "--template=", f"--initial-branch={BRANCH}", "--", str(tree)])
    _write_config(tree / ".git")
    from_mirror = Remote(repository=folder.name, url=str(mirror.repository.folder), protocols=("file",))
    fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", from_mirror.url, commit)
    theirs.run(*fetch, remote=from_mirror, settings=_HERE)
    theirs.run("reset", "--quiet", "--hard", commit, settings=_HERE)
    _make_ours(git, mirror, folder)
    return GitAgentTree(git, folder, commit)


def _write_config(git_folder: Path) -> None:
    # Agents commit; without a name that would fail, and a collector in the background would outlive them.
    git_folder.joinpath("info").mkdir(exist_ok=True)
    git_folder.joinpath("info/attributes").write_text(_RAW)
    with git_folder.joinpath("config").open("a") as config:
        config.write("[user]\n\tname = MoonMind agent\n\temail = agent@localhost\n[gc]\n\tauto = 0\n")


def _make_ours(git: Git, mirror: Mirror, folder: Path) -> None:
    ours = folder / "ours"
    git.run(["init", "--quiet", "--bare", "--template=", "--", str(ours)])
    ours.joinpath("info").mkdir(exist_ok=True)
    ours.joinpath("info/attributes").write_text(_RAW)
    ours.joinpath("objects/info").mkdir(exist_ok=True)
    ours.joinpath("objects/info/alternates").write_text(f"{mirror.objects}\n")
    # With the times of the fresh files in it, so that only what the agent touches is read again.
    shutil.copyfile(folder / "tree/.git/index", folder / "index")


def _stage(reader: Repository, entries: list[Entry]) -> None:
    for start in range(0, len(entries), _CHUNK):
        lines = (
            f"{entry.mode} {entry.object_id} 0\t".encode() + path_bytes(entry.path) + b"\0"
            for entry in entries[start : start + _CHUNK]
        )
        reader.run("update-index", "--add", "--replace", "-z", "--index-info", stdin=b"".join(lines))
