"""
Bind processes to each other and find them again, where Linux is more exact than process groups.

An agent's commands start sessions of their own, so that a signal to a group misses them (Codex was
seen to leave such children behind). Standard library only: the launcher runs without site packages.
"""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PROC = Path("/proc")
LAUNCH_VARIABLE = "MOONMIND_LAUNCH"
"""The environment variable by which an agent's processes are known when their launcher is gone."""


def hide_from_agents() -> None:
    """
    Keep other programs of this user out of this process's memory and `/proc/PID/environ`.

    The worker's secrets are there whatever environment it gives to an agent. Root sees them still.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def bind_to_launcher() -> None:
    """
    Prepare the agent's process; runs between fork and exec.

    The death signal is a second line, for a launcher that is itself killed. It cannot be the first:
    it reaches the agent and none of its children, it is not sent by a parent that is merely paused,
    and it counts the death of the thread that forked, not that of the process. That is
    also why the worker's threads do not start agents directly.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A child that became root through sudo could not be killed.
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # When memory runs out, the agent goes, rather than the launcher or the worker.
    with suppress(OSError):
        score = _PROC / "self/oom_score_adj"
        score.write_text(str(min(1000, int(score.read_text()) + 300)))


def kill_children() -> None:
    """
    Send SIGKILL to the children of this process, adopted ones included.

    Only to children: until we have reaped one, its id cannot pass to a stranger. Their own children
    are ours after that, so repeat until there is none.
    """
    me = os.getpid()
    for pid in _all():
        # Others end while we look.
        with suppress(OSError):
            stat = (_PROC / str(pid) / "stat").read_bytes()
            # After the name, which may hold anything, follow state and parent.
            if int(stat.rpartition(b")")[2].split()[1]) == me:
                _kill(pid)


def kill_launched(launch: str, *, patience: float) -> bool:
    """
    Kill what carries the mark of a launch, for `patience` seconds at most; True when none is left.

    Only for an agent whose launcher was killed: an agent may drop the mark, but it cannot leave a subreaper.
    """
    mark = f"{LAUNCH_VARIABLE}={launch}".encode()
    deadline = time.monotonic() + patience
    while marked := [pid for pid in _all() if _carries(pid, mark)]:
        if time.monotonic() > deadline:
            return False
        for pid in marked:
            _kill(pid)
        time.sleep(0.01)
    return True


def _carries(pid: int, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return False


def _all() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
