"""Hold what every fault needs: the stack, the ledger to find a live run in, and the seed's random numbers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from moonmind.domain.states import Stage
from moonmind.prove.ledger import Ledger, Live
from moonmind.prove.processes import Supervised
from moonmind.prove.stack import LEASE_SECONDS, Stack

CHANCE_SECONDS = 40.0
"""How long a fault waits for a live run that it can hit."""
END_SECONDS = 45.0
"""How long a process may take to end after SIGTERM and to be there again."""


@dataclass(frozen=True)
class Breaker:
    """The collaborators of the faults, and the two ways in which they find a live run."""

    stack: Stack
    ledger: Ledger
    random: Random
    order_at_once: Callable[[int], None]
    """Orders some runs now, for faults that need messages in the broker."""

    def beyond_lease(self) -> float:
        """Return seconds that are more than any lease lasts."""
        return LEASE_SECONDS + self.random.uniform(0.5, 3.0)

    def within_lease(self) -> float:
        """Return seconds after which a lease still holds."""
        return self.random.uniform(0.5, LEASE_SECONDS / 2)

    def on_worker(
        self, stage: Stage | None, act: Callable[[Supervised], None]
    ) -> tuple[Live | None, Supervised | None]:
        """Act on the process that is at work on a stage, while the stage cannot complete."""
        hit: list[Supervised] = []

        def act_on_holder(live: Live) -> bool:
            holder = self.stack.holder(live.owner)
            if holder is None:
                return False
            act(holder)
            hit.append(holder)
            return True

        live = self.ledger.hit_working(stage, act_on_holder, seconds=CHANCE_SECONDS)
        return (live, hit[0]) if live is not None else (None, None)

    def somewhere(self) -> Live | None:
        """Wait until some stage is at work; for faults that reach every run at once."""
        return self.ledger.hit_working(None, lambda _live: True, seconds=CHANCE_SECONDS)

    def kill_together(self, processes: Sequence[Supervised]) -> Live | None:
        """Kill some processes while a stage is at work."""

        def kill(_live: Live) -> bool:
            for process in processes:
                process.kill()
            return True

        return self.ledger.hit_working(None, kill, seconds=CHANCE_SECONDS)

    def pause(self, process: Supervised, seconds: float) -> Live | None:
        """Pause a process that every run needs, from a moment at which a stage is at work."""
        live = self.somewhere()
        if live is not None:
            with process.paused():
                time.sleep(seconds)
        return live
