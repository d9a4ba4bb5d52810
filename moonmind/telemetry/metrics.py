"""Send counts and times to a StatsD server, without ever holding up the work they describe."""

import re
import threading
import time
from collections import deque
from contextlib import suppress

from statsd import StatsClient

from moonmind.domain.states import Stage

_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
# A server that moved to another address is found again after this long.
_ADDRESS_AGE_SECONDS = 300.0
# Samples from before the first answer of the resolver; older ones give way.
_KEPT_SAMPLES = 1_000
_SUCCESS = frozenset({"success", "succeeded", "no_work"})
_FAILURE = frozenset({"failure", "failed"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class _TaggedClient(StatsClient):  # type: ignore[misc] # the package has no types
    """
    The `statsd` client with tags.

    The package's own methods write no tags, so the value is formatted here in the DogStatsD form
    (`name:1|c|#task:submit`), which Datadog, Telegraf, Vector and the Prometheus exporter read.
    Prefix, socket and the swallowing of socket errors are the package's.
    """

    def __init__(self, host: str, port: int, prefix: str, *, ipv6: bool) -> None:
        super().__init__(host, port, prefix=prefix, ipv6=ipv6)
        # A full send buffer drops the sample instead of blocking the stage.
        self._sock.settimeout(0)

    def __del__(self) -> None:
        # A sender may still be at it when a newer client takes over, so the last one closes the socket.
        with suppress(AttributeError):
            self.close()

    def sample(self, line: tuple[str, str]) -> None:
        self._send_stat(*line, rate=1)


class StatsdMetrics:
    """
    Counts and times over UDP. Samples are lost rather than waited for.

    The package resolves the host's name when its client is made, which can take many seconds, so
    that happens on a thread of its own; a name that cannot be resolved is asked for again after
    5 s, 10 s, and so on up to 60 s, and only when there is something to send.
    """

    def __init__(self, host: str, port: int, prefix: str) -> None:
        self._target = (host, port, _UNSAFE.sub("_", prefix))
        self._client: _TaggedClient | None = None
        self._waiting: deque[tuple[str, str]] = deque(maxlen=_KEPT_SAMPLES)
        self._pause = _FIRST_PAUSE_SECONDS
        self._resolve_at = time.monotonic()
        self._resolver: threading.Thread | None = None
        self._lock = threading.Lock()

    def stage_started(self, stage: Stage, attempt: int) -> None:
        """Count a start."""
        self._send("task_start", "1|c", stage, attempt, "running")

    def stage_ended(self, stage: Stage, attempt: int, *, status: str, seconds: float) -> None:
        """
        Record the duration and count a success or a failure.

        A stage that was parked, cancelled or lost is neither, and only its duration is recorded.
        """
        if status in _SUCCESS:
            self._send("task_success", "1|c", stage, attempt, status)
        elif status in _FAILURE:
            self._send("task_failure", "1|c", stage, attempt, status)
        self._send("task_duration", f"{seconds * 1000:.3f}|ms", stage, attempt, status)

    def stage_retried(self, stage: Stage, attempt: int) -> None:
        """Count a retry."""
        self._send("task_retry", "1|c", stage, attempt, "retry")

    def message_refused(self, reason: str) -> None:
        """Count a message that nobody could understand."""
        self._send_line("message_refused", f"1|c|#reason:{_UNSAFE.sub('_', reason)}")

    def _send(self, name: str, value: str, stage: Stage, attempt: int, status: str) -> None:
        tags = f"task:{stage.value},attempt:{attempt},status:{_UNSAFE.sub('_', status)}"
        self._send_line(name, f"{value}|#{tags}")

    def _send_line(self, name: str, value: str) -> None:
        line = (name, value)
        self._waiting.append(line)
        # The resolver sets the client before it empties the queue, so one of the two sends this line.
        if self._client is not None:
            self._flush(self._client)
        if time.monotonic() >= self._resolve_at:
            self._start_resolver()

    def _start_resolver(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            # A resolver that a fork left behind is not alive in the child, so this heals itself.
            if self._resolver is None or not self._resolver.is_alive():
                self._resolver = threading.Thread(target=self._resolve, name="statsd-resolver", daemon=True)
                self._resolver.start()
        except RuntimeError:
            # No thread to be had, as when the interpreter ends: no metrics either.
            self._resolve_at = time.monotonic() + self._pause
        finally:
            self._lock.release()

    def _resolve(self) -> None:
        client = _client(*self._target)
        if client is None:
            # The old address, if there is one, stays in use.
            self._waiting.clear()
            self._resolve_at = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
            return
        self._client = client
        self._pause = _FIRST_PAUSE_SECONDS
        self._resolve_at = time.monotonic() + _ADDRESS_AGE_SECONDS
        self._flush(client)

    def _flush(self, client: _TaggedClient) -> None:
        with suppress(IndexError):
            while True:
                client.sample(self._waiting.popleft())


def _client(host: str, port: int, prefix: str) -> _TaggedClient | None:
    # The package knows one family at a time; a server may have an address in the other only.
    for ipv6 in (False, True):
        with suppress(OSError, UnicodeError):
            return _TaggedClient(host, port, prefix, ipv6=ipv6)
    return None


class NoMetrics:
    """Stands in where no StatsD server is configured."""

    def stage_started(self, stage: Stage, attempt: int) -> None:
        """Count nothing."""

    def stage_ended(self, stage: Stage, attempt: int, *, status: str, seconds: float) -> None:
        """Record nothing."""

    def stage_retried(self, stage: Stage, attempt: int) -> None:
        """Count nothing."""

    def message_refused(self, reason: str) -> None:
        """Count nothing."""
