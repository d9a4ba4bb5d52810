"""Keep the files of runs on a disk: complete, redacted, and with a digest that is checked."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

from moonmind.domain.artifacts import checked_name, content_type, folder_names, is_kept_to_the_byte
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ids import new_id
from moonmind.domain.ports import ArtifactFolder
from moonmind.domain.results import StoredArtifact
from moonmind.workflows.speckit_celery.storage_files import (
    exists,
    is_absent,
    open_file,
    open_folder,
    remove_file,
    store_errors,
    write_file,
)

_CHUNK = 256 * 1024
_ID_FILE = "store.id"
_ID = re.compile(r"[0-9a-f-]{36}")
_LOCK_FILE = ".store.lock"
_LIVE_ENDING = ".live"
_REMEMBERED_DIGESTS = 1_024

_Signature = tuple[int, int, int, int, int]


class Scrubber(Protocol):
    """Takes secrets out of what is stored."""

    def data(self, data: bytes) -> bytes:
        """Return the bytes without secrets."""

    def file(self, source: BinaryIO, target: BinaryIO) -> None:
        """Copy without secrets, in bounded memory."""


class Download:
    """An open artifact whose digest was found right; close it, or read `chunks` to the end."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self.size_bytes = size_bytes

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `stop`; then the file is closed."""
        with self._file as file:
            file.seek(start)
            left = (self.size_bytes if stop is None else min(stop, self.size_bytes)) - start
            while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def close(self) -> None:
        """Give the file back unread."""
        self._file.close()


class FileArtifactStore:
    """
    Artifacts as files: `<root>/<run>/a<attempt>-<stage>-t<token>/<name>`.

    Whatever is stored passes `scrub`, patches aside (`is_kept_to_the_byte` says why); the digest is
    that of the stored bytes. Writing the same again is safe and changes nothing; other bytes under
    a name that is taken raise `artifact_digest_mismatch`.
    """

    def __init__(self, root: Path, *, scrub: Scrubber | None = None) -> None:
        self._root = root
        self._scrub = scrub
        self._first_id: str | None = None
        self._right: dict[str, tuple[_Signature, str]] = {}

    @property
    def store_id(self) -> str:
        """
        Which store this is, from `store.id` in the root; made at first use.

        Read anew each time: when a disk is unmounted under us, the folder below it is another store.
        """
        with store_errors("read the id of", self._root):
            found = self._stored_id()
            if found is None and self._first_id is None:
                found = self._make_id()
        if self._first_id is None:
            self._first_id = found
        if found is None or found != self._first_id:
            detail = f"The artifact store at {self._root} is not the one that was there before; is its disk mounted?"
            raise WorkflowError(FailureCode.ARTIFACT_STORE_UNAVAILABLE, detail)
        return found

    def put(self, folder: ArtifactFolder, artifact_type: str, name: str, content: bytes) -> StoredArtifact:
        """Write, sync and rename one file; see the class about repeating."""
        if self._scrub is not None and not is_kept_to_the_byte(name):
            content = self._scrub.data(content)
        store_id = self.store_id
        with self._folder(folder) as at:
            if not exists(at, checked_name(name)):
                write_file(at, name, lambda file: _write(file, content))
            stored = self._stored(at, folder, artifact_type, name, store_id)
        if stored.sha256 != hashlib.sha256(content).hexdigest():
            detail = f"{stored.path} is there already, with other bytes."
            raise WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, detail)
        return stored

    def live_path(self, folder: ArtifactFolder, name: str) -> Path:
        """Return a path to stream to; what is there has not passed redaction until it is sealed."""
        with self._folder(folder):
            return self._root.joinpath(*folder_names(folder), checked_name(name) + _LIVE_ENDING)

    def seal(self, folder: ArtifactFolder, artifact_type: str, name: str) -> StoredArtifact:
        """
        Make an artifact of the streamed file by copying it through redaction.

        A writer that is still at it can change nothing any more. Sealing again returns the same.
        Raises `artifact_missing` where nothing was streamed.
        """
        store_id = self.store_id
        live = checked_name(name) + _LIVE_ENDING
        copy = self._copy(name)
        with self._folder(folder) as at:
            if not exists(at, name):
                with self._open(at, live, live) as source:
                    write_file(at, name, partial(copy, source))
            remove_file(at, live)
            return self._stored(at, folder, artifact_type, name, store_id)

    def read(self, artifact: StoredArtifact) -> bytes:
        """Return the bytes; raises `artifact_missing` or `artifact_digest_mismatch`."""
        with self._reading(artifact.path, artifact.store_id) as file:
            # One byte more shows a file that grew, without reading all that was put there.
            content = file.read(artifact.size_bytes + 1)
        if len(content) != artifact.size_bytes or hashlib.sha256(content).hexdigest() != artifact.sha256:
            raise _changed(artifact.path)
        return content

    def open_for_download(self, path: str, *, size_bytes: int, sha256: str) -> Download:
        """
        Open an artifact by the path, size and digest of its row, in bounded memory.

        The digest is checked before the first byte is handed out, and once for each version of the
        file, so that ranges of a large log are cheap. A path that leaves the root, a link, and a file
        with a second name raise `artifact_missing`; other bytes raise `artifact_digest_mismatch`.
        """
        with self._reading(path, None, keep_open=True) as file:
            try:
                self._check_digest(file, path, size_bytes, sha256)
            except BaseException:
                file.close()
                raise
        return Download(file, size_bytes)

    def _check_digest(self, file: BufferedReader, path: str, size_bytes: int, sha256: str) -> None:
        status = os.fstat(file.fileno())
        signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if status.st_size != size_bytes:
            raise _changed(path)
        if self._right.get(path) == (signature, sha256):
            return
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise _changed(path)
        if len(self._right) >= _REMEMBERED_DIGESTS:
            self._right.clear()
        self._right[path] = (signature, sha256)

    @contextmanager
    def _folder(self, folder: ArtifactFolder) -> Iterator[int]:
        with (
            store_errors("write to", self._root),
            open_folder(self._root, folder_names(folder), create=True) as descriptor,
        ):
            yield descriptor

    @contextmanager
    def _reading(self, path: str, store_id: str | None, *, keep_open: bool = False) -> Iterator[BufferedReader]:
        *folders, name = path.split("/")
        with store_errors("read", self._root):
            try:
                with open_folder(self._root, [*folders], create=False) as folder:
                    file = open_file(folder, name)
            except OSError as error:
                if is_absent(error):
                    raise self._missing(path, store_id) from error
                raise
            try:
                yield file
            finally:
                if not keep_open:
                    file.close()

    def _open(self, folder: int, name: str, path: str) -> BufferedReader:
        try:
            return open_file(folder, name)
        except OSError as error:
            if is_absent(error):
                raise self._missing(path, None) from error
            raise

    def _missing(self, path: str, store_id: str | None) -> WorkflowError:
        here = self._stored_id()
        where = f" It was written to store {store_id}, and this is {here}." if store_id and store_id != here else ""
        return WorkflowError(FailureCode.ARTIFACT_MISSING, f"{path} is not in the artifact store.{where}")

    def _copy(self, name: str) -> Callable[[BinaryIO, BinaryIO], None]:
        if self._scrub is None or is_kept_to_the_byte(name):
            return shutil.copyfileobj
        return self._scrub.file

    def _stored(self, at: int, folder: ArtifactFolder, artifact_type: str, name: str, store_id: str) -> StoredArtifact:
        path = "/".join((*folder_names(folder), name))
        with self._open(at, name, path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        return StoredArtifact(artifact_type, name, path, content_type(artifact_type, name), size, digest, store_id)

    def _stored_id(self) -> str | None:
        try:
            found = (self._root / _ID_FILE).read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        if not _ID.fullmatch(found):
            detail = f"{self._root / _ID_FILE} is damaged; it holds no id."
            raise WorkflowError(FailureCode.ARTIFACT_STORE_UNAVAILABLE, detail)
        return found

    def _make_id(self) -> str | None:
        """Make the id once; processes that start at the same time agree on the first one's."""
        with open_folder(self._root, (), create=True) as root:
            lock = os.open(_LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640, dir_fd=root)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not exists(root, _ID_FILE):
                    write_file(root, _ID_FILE, lambda file: _write(file, f"{new_id()}\n".encode()))
            finally:
                os.close(lock)
        return self._stored_id()


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _changed(path: str) -> WorkflowError:
    return WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, f"{path} is not what was stored; it is not handed out.")
