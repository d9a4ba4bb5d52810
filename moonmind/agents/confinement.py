"""
Confine an agent's processes with Landlock: they write in folders of their own and cannot read the service's.

It needs no rights and holds for every descendant. Standard library only: the launcher runs without
site packages.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

UNCONFINED = "none"

# These numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_BENEATH = 1
_SIGNALS = 1 << 1
# Version 1 forbids to move a file from one folder to another, which agents do all the time.
_OLDEST_USABLE = 2
_KNOWS_TRUNCATE = 3
_KNOWS_SIGNALS = 6

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_MAKE_CHARACTER_DEVICE, _MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
_TRUNCATE = 1 << 14
_ALL = (1 << 15) - 1
_CAPABILITY_DROP = 24
# What lets root look past files, at memory, disks and the kernel: DAC_READ_SEARCH, SYS_MODULE,
# SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, MKNOD, PERFMON, BPF, CHECKPOINT_RESTORE. Others have none of them.
_CAPABILITIES = (2, 16, 17, 19, 21, 27, 38, 39, 40)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
# Terminals, and the semaphores of programs with several processes.
_DEVICE_FOLDERS = ("pts", "shm")


def landlock_version() -> int:
    """Return the version of Landlock that this kernel offers; 0 when it has none that can be used."""
    if sys.platform != "linux":
        return 0
    try:
        version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0
    return version if version >= _OLDEST_USABLE else 0


def confinement() -> str:
    """Say what would confine an agent on this host now: `landlock VERSION` or `none`."""
    version = landlock_version()
    return f"landlock {version}" if version else UNCONFINED


def is_within(path: Path, folders: Sequence[Path]) -> bool:
    """Tell whether a path leads into one of the folders, links followed."""
    real = path.resolve()
    return any(real.is_relative_to(folder.resolve()) for folder in folders)


class Ruleset:
    """
    What an agent may do to files, made by its launcher and entered by the agent's process.

    It may write in the writable folders, list all folders, and read and run all files but those in the
    hidden folders. Landlock can only allow, so what is allowed is everything beside the way to a
    hidden folder, as it is now: a file that appears later right on that way cannot be read. Where
    the kernel knows how, signals reach nothing but the agent's own processes.

    Raises OSError when a writable folder is missing or the kernel refuses.
    """

    def __init__(self, *, writable: Sequence[str], hidden: Sequence[str]) -> None:
        version = landlock_version()
        self._handled = _ALL if version >= _KNOWS_TRUNCATE else _ALL & ~_TRUNCATE
        signals = _SIGNALS if version >= _KNOWS_SIGNALS else 0
        attributes = struct.pack("=QQQ", self._handled, 0, signals)
        self._descriptor = _call(_CREATE_RULESET, attributes, len(attributes), 0)
        try:
            self._allow_all(writable, hidden)
        except OSError:
            self.close()
            raise

    def enter(self) -> None:
        """
        Confine this process and all it will ever start; needs `no_new_privs` to be set.

        What root may do beyond files is taken away at the next program that this process becomes.
        """
        library = ctypes.CDLL(None)
        for capability in _CAPABILITIES:
            # Refused to ordinary users, who have nothing to lose.
            library.prctl(_CAPABILITY_DROP, capability, 0, 0, 0)
        _call(_RESTRICT_SELF, self._descriptor, 0)

    def close(self) -> None:
        """Give the descriptor back; who has entered stays confined."""
        os.close(self._descriptor)

    def _allow_all(self, writable: Sequence[str], hidden: Sequence[str]) -> None:
        self._allow(Path("/"), _READ_DIR)
        for path in _readable([Path(folder).resolve() for folder in hidden]):
            # It may be gone by now.
            with suppress(FileNotFoundError):
                self._allow(path, _READ_FILE | _EXECUTE)
        # A device of its making would be a way to the disk below the files, for an agent of root.
        anything = _ALL & ~(_MAKE_CHARACTER_DEVICE | _MAKE_BLOCK_DEVICE)
        for folder in writable:
            self._allow(Path(folder), anything)
        for name in _DEVICES:
            with suppress(FileNotFoundError):
                self._allow(Path("/dev", name), _READ_FILE | _WRITE_FILE | _TRUNCATE)
        for name in _DEVICE_FOLDERS:
            with suppress(FileNotFoundError):
                self._allow(Path("/dev", name), anything)

    def _allow(self, path: Path, access: int) -> None:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not path.is_dir():
                access &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
            rule = struct.pack("=Qi", access & self._handled, target)
            _call(_ADD_RULE, self._descriptor, _BENEATH, rule, 0)
        finally:
            os.close(target)


def _readable(hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield what covers all files but those in the hidden folders."""
    waiting = [Path("/")]
    while waiting:
        path = waiting.pop()
        below = [folder for folder in hidden if path in folder.parents]
        if below:
            waiting += _children(path, below)
        elif path not in hidden:
            yield path


def _children(folder: Path, below: Sequence[Path]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            # A link would open what it leads to; that has its own place on this walk.
            return [Path(entry.path) for entry in entries if not entry.is_symlink()]
    except PermissionError:
        # Then the way on is all that anybody of this user can find here.
        depth = len(folder.parts) + 1
        return list({Path(*path.parts[:depth]) for path in below})


def _call(number: int, *arguments: int | bytes | None) -> int:
    # Every argument fills a register, also where Python would pass an int of 32 bits.
    wide = [ctypes.c_long(value) if isinstance(value, int) else ctypes.c_char_p(value) for value in arguments]
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    result = int(library.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result
