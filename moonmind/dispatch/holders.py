"""Let a process prove that it lives by a file lock, so that a dead one's work is found at once."""

import fcntl
import os
import secrets
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_SUFFIX = ".holder"
_NEW = ".new"
# Containers of one host share it, and hosts that share a folder do not; a reboot changes it.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OLD_SECONDS = 7 * 24 * 3600


class Holder:
    """
    The lock file of this process; its random name owns the process's claims.

    The kernel drops the lock when the process dies, however it dies. A file that is there
    and not locked therefore proves death; a missing file proves nothing, and neither does the
    file of another host, whose locks this one may not see.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._boot = _boot_id()
        self.id = secrets.token_hex(8)
        # Under its final name only once it is locked: a neighbour that looks must not see it free.
        new = folder / f"{self.id}{_NEW}"
        self._file = _locked(new, f"{self._boot}\n{os.getpid()}\n")
        new.rename(folder / f"{self.id}{_SUFFIX}")

    def dead(self) -> frozenset[str]:
        """Return the holders on this host that are known to be gone."""
        others = (path for path in self._folder.glob(f"*{_SUFFIX}") if path.stem != self.id)
        return frozenset(path.stem for path in others if self._is_dead(path))

    def bury(self, holders: frozenset[str]) -> None:
        """Remove the files of holders whose work was taken over."""
        for holder in holders:
            (self._folder / f"{holder}{_SUFFIX}").unlink(missing_ok=True)
        # What an earlier boot left tells nothing any more; leases have dealt with it long ago.
        for path in self._folder.iterdir():
            if path.suffix in {_SUFFIX, _NEW} and _is_old(path) and self._was_given_up(path):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back at a clean end."""
        (self._folder / f"{self.id}{_SUFFIX}").unlink(missing_ok=True)
        self._file.close()

    def _is_dead(self, path: Path) -> bool:
        with suppress(FileNotFoundError), path.open() as file:
            return file.readline().strip() == self._boot and _is_free(file)
        return False

    def _was_given_up(self, path: Path) -> bool:
        with suppress(FileNotFoundError), path.open() as file:
            return _is_free(file)
        return False


class DataFolderLock:
    """Keeps a data folder to one embedded service; raises `data_folder_in_use` when another has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._file = _locked(folder / "embedded.lock", f"{os.getpid()}\n")
        except BlockingIOError:
            detail = f"A process with this folder is running: {folder}."
            raise WorkflowError(FailureCode.DATA_FOLDER_IN_USE, detail) from None

    def release(self) -> None:
        """Give the folder back."""
        self._file.close()


def _locked(path: Path, content: str) -> IO[str]:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    file.seek(0)
    file.truncate()
    file.write(content)
    file.flush()
    return file


def _is_free(file: IO[str]) -> bool:
    # A shared lock, so that two neighbours who look at the same time do not take each other for the holder.
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _OLD_SECONDS
    except FileNotFoundError:
        return False


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except FileNotFoundError:
        return socket.gethostname()
