"""Hold a lock file against other threads and processes, for no longer than a command may take."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_GLANCE_SECONDS = 0.02


@contextmanager
def locked(path: Path, *, timeout: timedelta) -> Iterator[int]:
    """
    Hold the lock and yield its descriptor.

    A child that is given the descriptor keeps the lock when its parent is killed, so that a
    successor does not write beside it. Raises `git_timed_out` when the holder does not let go.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path, time.monotonic() + timeout.total_seconds())
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                detail = f"Another git command holds {path.name} and did not let go in time."
                raise WorkflowError(FailureCode.GIT_TIMED_OUT, detail) from None
            time.sleep(_GLANCE_SECONDS)
        else:
            return
