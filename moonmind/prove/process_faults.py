"""Kill, pause and end the service's own processes."""

import signal
import time
from collections.abc import Callable

from moonmind.prove.breaking import CHANCE_SECONDS, END_SECONDS, Breaker
from moonmind.prove.faults import FaultKind
from moonmind.prove.ledger import Live
from moonmind.prove.processes import Supervised

# Long enough for a chain to reach the broker while the note of it waits for the lock.
_SENDING_SECONDS = 0.05
_LOOK_SECONDS = 0.002


def kill(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Kill the process at work on a stage."""
    return breaker.on_worker(kind.stage, Supervised.kill)[0]


def pause(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Pause the process at work on a stage until others have its stage."""
    return _pause_worker(breaker, kind, breaker.beyond_lease())


def pause_briefly(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Pause a process at work, and let it go on while its stage is still its own."""
    return _pause_worker(breaker, kind, breaker.within_lease())


def terminate(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Ask the process at work on a stage to end, and wait for its successor."""
    old: list[int] = []

    def ask(process: Supervised) -> None:
        old.append(process.pid)
        process.send(signal.SIGTERM)

    live, worker = breaker.on_worker(kind.stage, ask)
    if worker is not None:
        worker.wait_for_new_life(old[0], seconds=END_SECONDS)
    return live


def terminate_then_kill(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Ask a process at work to end, and lose patience at once."""
    live, worker = breaker.on_worker(kind.stage, lambda process: process.send(signal.SIGTERM))
    if worker is not None:
        time.sleep(breaker.random.uniform(0.0, 0.3))
        worker.kill()
    return live


def kill_twice(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Kill a process at work, and its successor while it comes up or soon after."""
    return _kill_again(breaker, kind, lambda _worker: time.sleep(breaker.random.uniform(0.5, 2.0)))


def kill_in_recovery(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Kill a process at work, and its successor while it takes over."""

    def wait_for_recovery(worker: Supervised) -> None:
        # A process takes its lock file right before it looks for the ones of the dead.
        deadline = time.monotonic() + CHANCE_SECONDS
        while worker.pid not in set(breaker.stack.holders()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        time.sleep(breaker.random.uniform(0.0, 0.2))

    return _kill_again(breaker, kind, wait_for_recovery)


def kill_between_stages(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill the process that completed a stage, before anybody has claimed the next one."""

    def kill_last_holder(live: Live) -> bool:
        holder = breaker.stack.holder(breaker.ledger.holder_before(live))
        if holder is None:
            return False
        holder.kill()
        return True

    return breaker.ledger.hit_between_stages(kill_last_holder, seconds=CHANCE_SECONDS)


def kill_in_relay(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill the process that relays orders, after it sent a chain and before it noted that."""

    def kill_sender(_live: Live) -> bool:
        time.sleep(_SENDING_SECONDS)
        breaker.stack.api.kill()
        return True

    return breaker.ledger.hit_relaying(kill_sender, seconds=CHANCE_SECONDS)


def kill_all_workers(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill every worker."""
    return breaker.kill_together(breaker.stack.workers)


def kill_everything(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill every worker and the API."""
    return breaker.kill_together([*breaker.stack.workers, breaker.stack.api])


def kill_api(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill the API."""
    return breaker.kill_together([breaker.stack.api])


def pause_api(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Pause the API."""
    return breaker.pause(breaker.stack.api, breaker.beyond_lease())


def terminate_api(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Ask the API to end, and wait for its successor."""
    api = breaker.stack.api
    live, old = breaker.somewhere(), api.pid
    if live is not None:
        api.send(signal.SIGTERM)
        api.wait_for_new_life(old, seconds=END_SECONDS)
    return live


def _pause_worker(breaker: Breaker, kind: FaultKind, seconds: float) -> Live | None:
    live, worker = breaker.on_worker(kind.stage, lambda process: process.send(signal.SIGSTOP))
    if worker is not None:
        time.sleep(seconds)
        worker.send(signal.SIGCONT)
    return live


def _kill_again(breaker: Breaker, kind: FaultKind, wait: Callable[[Supervised], None]) -> Live | None:
    killed: list[int] = []

    def kill_first(process: Supervised) -> None:
        killed.append(process.pid)
        process.kill()

    live, worker = breaker.on_worker(kind.stage, kill_first)
    if worker is not None and worker.wait_for_new_life(killed[0], seconds=END_SECONDS):
        wait(worker)
        worker.kill()
    return live
