"""Show the progress of a run as plain lines, one for each change, for files, pipes and build logs."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TextIO

import click

from moonmind.cli.harmless import harmless
from moonmind.cli.times import duration_text
from moonmind.cli.views import RunView, StageView
from moonmind.domain.states import StageStatus

_UNSAID = frozenset({"", StageStatus.QUEUED})


class PlainView:
    """Writes a line when something changed, and nothing otherwise."""

    def __init__(self, stream: TextIO, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._now = now
        self._seen: dict[str, object] = {}
        self._is_away = False

    def show(self, run: RunView, tail: tuple[str, ...]) -> None:
        """Write what is new since the last time."""
        status = f"run {run.short_id} {run.repository} {run.status}"
        if run.is_active:
            self._say_once("run", run.status, status)
        self._say_once("phase", run.phase_title, f"phase {run.phase_title}" if run.phase_title else "")
        for stage in run.stages:
            state = (stage.status, stage.attempt, stage.message)
            self._say_once(stage.name, state, "" if stage.status in _UNSAID else " ".join(self._words(stage)))
        cancel = run.cancel_requested_at
        self._say_once("cancel", cancel, "cancel requested" if cancel else "")
        # The end of the run is said last, also when its last stages ended since the last look.
        self._say_once("run", run.status, status)

    def away(self, reason: str) -> None:
        """Say it once, however long it lasts."""
        if not self._is_away:
            self._say(f"the service is away, still watching: {harmless(reason)}")
        self._is_away = True

    def back(self) -> None:
        """Say that it answers again."""
        self._is_away = False
        self._say("the service answers again")

    def _words(self, stage: StageView) -> Iterator[str]:
        yield stage.name
        yield stage.status
        if stage.attempt > 1:
            yield f"(attempt {stage.attempt})"
        if stage.started_at and stage.finished_at:
            yield f"in {duration_text(stage.finished_at - stage.started_at)}"
        if stage.message:
            yield f"- {stage.message}"

    def _say_once(self, subject: str, state: object, line: str) -> None:
        if self._seen.get(subject) == state:
            return
        self._seen[subject] = state
        if line:
            self._say(line)

    def _say(self, line: str) -> None:
        click.echo(f"{self._now():%H:%M:%S}Z  {line}", file=self._stream)
