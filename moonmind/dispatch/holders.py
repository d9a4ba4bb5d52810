"""Let a process prove that it lives by a file lock, so that a dead one's work is found at once."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import IO

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_SUFFIX = ".holder"


class Holder:
    """
    The lock file of this process; its random name owns the process's claims.

    The kernel drops the lock when the process dies, however it dies. A file that is there
    and not locked therefore proves death; a missing file proves nothing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.id = secrets.token_hex(8)
        self._file = _locked(folder / f"{self.id}{_SUFFIX}")

    def dead(self) -> frozenset[str]:
        """Return the holders on this host that are known to be gone."""
        others = (path for path in self._folder.glob(f"*{_SUFFIX}") if path.stem != self.id)
        return frozenset(path.stem for path in others if _is_free(path))

    def bury(self, holders: frozenset[str]) -> None:
        """Remove the files of holders whose work was taken over."""
        for holder in holders:
            (self._folder / f"{holder}{_SUFFIX}").unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back at a clean end."""
        (self._folder / f"{self.id}{_SUFFIX}").unlink(missing_ok=True)
        self._file.close()


class DataFolderLock:
    """Keeps a data folder to one embedded service; raises `data_folder_in_use` when another has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._file = _locked(folder / "embedded.lock")
        except BlockingIOError:
            detail = f"A process with this folder is running: {folder}."
            raise WorkflowError(FailureCode.DATA_FOLDER_IN_USE, detail) from None

    def release(self) -> None:
        """Give the folder back."""
        self._file.close()


def _locked(path: Path) -> IO[str]:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _is_free(path: Path) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return False
    return True
