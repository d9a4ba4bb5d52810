"""Do the small duties of a process between two sweeps, each at its own pace."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Duty:
    pause: float
    act: Callable[[], object]
    next_at: float = 0.0


class Housekeeping:
    """A list of duties for one thread; each runs at once, and again when its pause is over."""

    def __init__(self) -> None:
        self._duties: list[_Duty] = []

    def add(self, pause: float, act: Callable[[], object]) -> None:
        """Add a duty with its pause in seconds; it must be safe to repeat."""
        self._duties.append(_Duty(pause, act))

    def run_due(self) -> None:
        """Run what is due, in the order of its adding; one that raises is due again after its pause."""
        for duty in self._duties:
            if time.monotonic() >= duty.next_at:
                duty.next_at = time.monotonic() + duty.pause
                duty.act()
