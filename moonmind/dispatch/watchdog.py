"""End a worker process that can do its work no more, so that its supervisor starts a sound one."""

import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

import structlog

from moonmind.domain.errors import WorkflowError
from moonmind.domain.states import Stage
from moonmind.workflows.speckit_celery.heartbeat import HeldStage, LeaseBook

EXIT_STUCK = 75
"""The exit code for the supervisor: EX_TEMPFAIL, "try again"."""
_log = structlog.get_logger(__name__)
_LOOKS_PER_PATIENCE = 5
_LONGEST_PAUSE = 5.0
_STOP_SECONDS = 20.0
_LAST_WORDS_SECONDS = 8.0


@dataclass(frozen=True)
class Signs:
    """How the watchdog learns about its process; each is asked from the watchdog's thread."""

    messages_taken: Callable[[], int]
    """How many messages this worker took so far."""
    untaken: Callable[[], int]
    """How many messages of its queues wait for stages that are ready; raises when it cannot be told."""
    limit: Callable[[Stage], timedelta]
    """The time after which a stage's lease is not renewed any more."""
    give_back: Callable[[Collection[HeldStage]], None]
    """Queue every stage of this process again; those named count as crashed."""


@dataclass(frozen=True)
class Patience:
    """How long the watchdog looks on."""

    idle: timedelta
    """For a worker without a stage, while messages wait that it should take."""
    overdue: timedelta
    """For a thread, after its stage's time was up: long enough for an expired lease to be noticed."""


class Watchdog:
    """
    A thread that ends the process with `EXIT_STUCK` in three cases.

    A worker that holds no stage and takes no message while its queues have some is deaf: broker
    clients lose their consumers in ways that no reconnect mends. A thread that goes on after its
    stage's deadline blocks a place for ever. And a shutdown that a thread does not heed would
    end in a kill. The stages of a process that ends so are queued again; only a stage that
    outlived its deadline counts a crash.
    """

    def __init__(
        self,
        leases: LeaseBook,
        signs: Signs,
        patience: Patience,
        *,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        self._leases = leases
        self._signs = signs
        self._patience = patience
        self._exit = exit_process
        self._idle_since: float | None = None
        self._taken = -1
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop_soon(self) -> None:
        """Stop the stages at work, and the process itself when they do not heed; repeating is safe."""
        # No more than this: it is called from signal handlers.
        self._stopping.set()

    def ended(self) -> None:
        """Note that all threads are done, so that nothing needs to be forced."""
        self._stopping.set()
        self._ended.set()

    def look(self, now: float) -> None:
        """Judge once, at a time of the monotonic clock; ends the process when it has to."""
        held = self._leases.held()
        overdue = [stage for stage in held if self._is_overdue(stage)]
        if overdue:
            names = ", ".join(sorted({stage.claimed.stage.value for stage in overdue}))
            self._end(f"A thread goes on after the deadline of its stage: {names}.", overdue)
        elif self._is_deaf(now, held):
            seconds = round(self._patience.idle.total_seconds())
            self._end(f"No message was taken for {seconds} s although the queues have some.", ())

    def _is_overdue(self, stage: HeldStage) -> bool:
        return stage.seconds > (self._signs.limit(stage.claimed.stage) + self._patience.overdue).total_seconds()

    def _is_deaf(self, now: float, held: Collection[HeldStage]) -> bool:
        taken = self._signs.messages_taken()
        if held or taken != self._taken or not self._signs.untaken():
            self._idle_since, self._taken = None, taken
            return False
        if self._idle_since is None:
            self._idle_since = now
        return now - self._idle_since >= self._patience.idle.total_seconds()

    def _run(self) -> None:
        pause = min(self._patience.idle.total_seconds() / _LOOKS_PER_PATIENCE, _LONGEST_PAUSE)
        while not self._stopping.wait(pause):
            try:
                self.look(time.monotonic())
            except WorkflowError as error:
                # Without the database nobody can work; that is no fault of this process.
                self._idle_since = None
                _log.warning("watchdog_cannot_look", detail=error.detail)
            # A process edge: the watchdog itself must not die silently.
            except Exception:  # noqa: BLE001
                self._idle_since = None
                _log.exception("watchdog_failed")
        self._leases.give_up_all()
        if not self._ended.wait(_STOP_SECONDS):
            self._end(f"The stages did not stop within {_STOP_SECONDS:.0f} s.", ())

    def _end(self, why: str, overdue: Collection[HeldStage]) -> None:
        _log.critical("worker_stuck", detail=why, exit_code=EXIT_STUCK, remedy="Its supervisor starts it again.")
        # The last words need the database, which may be what everybody hangs on.
        words = threading.Thread(target=self._signs.give_back, args=(overdue,), name="last-words", daemon=True)
        words.start()
        words.join(_LAST_WORDS_SECONDS)
        self._exit(EXIT_STUCK)
