"""Count the places for agents on this worker, so that polling and publishing never queue behind them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class AgentSlots:
    """At most `limit` local agents at once; `freed` is called after each one that ended."""

    def __init__(self, limit: int, *, freed: Callable[[], None]) -> None:
        self._places = threading.BoundedSemaphore(limit)
        self._freed = freed

    @contextmanager
    def take(self, *, needed: bool) -> Iterator[bool]:
        """Yield whether the stage may go on: it needs no slot, or it has one until the block ends."""
        if not needed:
            yield True
            return
        taken = self._places.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._places.release()
                self._freed()
