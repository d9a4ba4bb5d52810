"""Open, read and write files below one folder, never through a link and never by halves."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that a FIFO in the place of a file cannot hold us up; files do not care.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# The group may read: API and worker may run as different users of one group.
_FOLDER_MODE = 0o750
_FILE_MODE = 0o640
_NOT_A_NAME = frozenset({"", ".", ".."})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})
_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.ENOTDIR: "something that is no folder is in the way",
    errno.EEXIST: "something that is no folder is in the way",
    errno.ELOOP: "a symbolic link is in the way",
    errno.EFBIG: "the file would be larger than this process may write",
    errno.EIO: "the disk reports an error",
}


class NotAPlainFileError(OSError):
    """There is something at the path, but no file that this store would have made."""


@contextmanager
def store_errors(doing: str, root: Path) -> Iterator[None]:
    """Turn what the operating system refuses into `artifact_store_unavailable`, in plain words."""
    try:
        yield
    except OSError as error:
        words = _WORDS.get(error.errno or 0) or error.strerror or str(error)
        detail = f"Could not {doing} the artifact store at {root}: {words}."
        raise WorkflowError(FailureCode.ARTIFACT_STORE_UNAVAILABLE, detail) from error


def is_absent(error: OSError) -> bool:
    """Return whether an error of `open_file` means that there is no such file of ours."""
    return isinstance(error, NotAPlainFileError) or error.errno in _ABSENT


@contextmanager
def open_folder(root: Path, names: Sequence[str], *, create: bool) -> Iterator[int]:
    """
    Open a folder below the root, following no link on the way down; the root itself may be one.

    Missing folders are made on demand and survive a power cut.
    """
    if _NOT_A_NAME.intersection(names) or any("/" in name or "\0" in name for name in names):
        raise NotAPlainFileError(errno.ENOENT, "not a path of the store")
    if create:
        root.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for name in names:
            if create:
                _make_folder(folder, name)
            below = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _make_folder(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, _FOLDER_MODE, dir_fd=parent)
        os.fsync(parent)


def open_file(folder: int, name: str) -> BufferedReader:
    """
    Open a plain file for reading.

    A link, FIFO or device raises `NotAPlainFileError`, and so does a file with a second name: it may
    have been put there to make a foreign file readable.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAPlainFileError(errno.ELOOP, "a symbolic link") from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise NotAPlainFileError(errno.ENOENT, "not a plain file")
    return open(descriptor, "rb")  # noqa: PTH123 - the descriptor is open already; the caller closes it


def exists(folder: int, name: str) -> bool:
    """Return whether there is anything under the name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def write_file(folder: int, name: str, fill: Callable[[BinaryIO], None]) -> None:
    """
    Make a file appear under its name complete, or not at all.

    A crash leaves at most a `.tmp` file without a row; a full disk leaves nothing behind.
    """
    temporary = f".{uuid4().hex}.tmp"
    descriptor = os.open(temporary, _CREATE, _FILE_MODE, dir_fd=folder)
    try:
        with open(descriptor, "w+b") as file:  # noqa: PTH123 - opened by descriptor, in a folder by descriptor
            fill(file)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def remove_file(folder: int, name: str) -> None:
    """Remove a file; nothing happens where there is none."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
