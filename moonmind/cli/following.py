"""Follow a run by asking again and again, and keep on while the service is away for a moment."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from moonmind.cli.client import ServiceClient
from moonmind.cli.json_values import Document
from moonmind.cli.log_lines import LineCutter, log_lines
from moonmind.cli.refusals import ServerRefusedError
from moonmind.cli.surroundings import Surroundings
from moonmind.cli.views import RunView, StageView, run_view
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_EAGER = timedelta(seconds=0.5)
_CALM = timedelta(seconds=2)
_CALM_AFTER = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(seconds=10)
_PATIENCE = timedelta(minutes=10)
_TAIL_LINES = 20
_FIRST_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429


class ProgressView(Protocol):
    """Where the progress of a run is shown."""

    def show(self, run: RunView, tail: tuple[str, ...]) -> None:
        """Show the run as it is now, with the last lines of the agent's log."""

    def away(self, reason: str) -> None:
        """Say that the service is away and that the watch goes on."""

    def back(self) -> None:
        """Say that the service answers again."""


@dataclass
class LogTail:
    """The end of the agent's log, read on from where the last reading stopped."""

    client: ServiceClient
    run_id: str
    _cutter: LineCutter = field(default_factory=LineCutter)
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    _offset: int = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, safe to print."""
        return tuple(self._lines)

    def read_on(self) -> None:
        """Read what was added; a log that is not there yet is no error."""
        try:
            part = self.client.log(self.run_id, offset=self._offset)
        except ServerRefusedError as refusal:
            if refusal.code is FailureCode.ARTIFACT_NOT_FOUND:
                return
            raise
        self._offset = part.next_offset
        for line in self._cutter.feed(part.content):
            self._lines.extend(log_lines(line))


def follow_run(
    client: ServiceClient, run_id: str, *, view: ProgressView, around: Surroundings, with_log: bool
) -> Document:
    """
    Show a run until it ends and return its last state.

    Reads only. A service that is away is asked again with growing pauses for ten minutes,
    then the error is raised.
    """
    tail = LogTail(client, run_id)
    pace = _Pace()
    away_since: datetime | None = None
    while True:
        try:
            document = client.run(run_id, brief=True)
            run = run_view(document)
            if with_log and run.agent_works:
                tail.read_on()
        except WorkflowError as error:
            away_since = away_since or around.now()
            if not is_momentary(error) or around.now() - away_since > _PATIENCE:
                raise
            view.away(error.detail)
            around.pause(pace.after_failure())
            continue
        if away_since:
            away_since = None
            view.back()
        view.show(run, tail.lines)
        if not run.is_active:
            return document
        around.pause(pace.after_answer(run.stages, around.now()))


def is_momentary(error: WorkflowError) -> bool:
    """Say whether the same question may well be answered a little later."""
    if isinstance(error, ServerRefusedError):
        return error.status >= _FIRST_SERVER_ERROR or error.status == _TOO_MANY_REQUESTS
    return error.code is FailureCode.SERVER_UNREACHABLE


@dataclass
class _Pace:
    """How long to wait: short while things move, longer while they do not, growing while the service is away."""

    _seen: tuple[StageView, ...] = ()
    _moved_at: datetime | None = None
    _failures: int = 0

    def after_answer(self, stages: tuple[StageView, ...], now: datetime) -> float:
        self._failures = 0
        if stages != self._seen or self._moved_at is None:
            self._seen, self._moved_at = stages, now
        pause = _CALM if now - self._moved_at > _CALM_AFTER else _EAGER
        return pause.total_seconds()

    def after_failure(self) -> float:
        self._failures += 1
        return min(_EAGER * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE).total_seconds()
