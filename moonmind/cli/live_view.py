"""Show the progress of a run on a terminal, redrawn in place while it moves."""

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from moonmind.cli.harmless import harmless
from moonmind.cli.run_page import headlines, stages_table, tokens_text
from moonmind.cli.screen import is_narrow, status_text
from moonmind.cli.times import duration_text
from moonmind.cli.views import RunView

_REDRAWS_PER_SECOND = 4
_TAIL_LINES = 8
# Lines above and below the log's end: headline, stages, rule, foot, the line of the cursor.
_OTHER_LINES = 14


class LiveView:
    """Draws the run's stages, the end of the agent's log and the time that passes."""

    def __init__(self, console: Console, now: Callable[[], datetime]) -> None:
        self._console = console
        self._now = now
        self._run: RunView | None = None
        self._tail: tuple[str, ...] = ()
        self._trouble = ""
        self._live = Live(
            console=console,
            get_renderable=self._page,
            refresh_per_second=_REDRAWS_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Draw a last time and leave the page standing."""
        self._live.__exit__(kind, error, traceback)

    def show(self, run: RunView, tail: tuple[str, ...]) -> None:
        """Take the newest state; the page is drawn on its own pace."""
        self._run, self._tail = run, tail

    def away(self, reason: str) -> None:
        """Put the reason into the page's foot."""
        self._trouble = harmless(reason)

    def back(self) -> None:
        """Clear the foot."""
        self._trouble = ""

    def _page(self) -> RenderableType:
        run = self._run
        if run is None:
            return Text(self._trouble or "asking the service ...", style="dim")
        narrow = is_narrow(self._console)
        parts: list[RenderableType] = [
            *(Text(line, style="bold", no_wrap=True, overflow="ellipsis") for line in headlines(run)),
            Text(),
            stages_table(run, now=self._now(), narrow=narrow, one_line=True),
        ]
        if run.is_active:
            parts += [*(self._log_parts() if run.agent_works else []), Text(), self._foot(run)]
        return Group(*parts)

    def _log_parts(self) -> list[RenderableType]:
        room = min(_TAIL_LINES, self._console.height - _OTHER_LINES)
        lines = self._tail[-room:] if room > 0 else ()
        if not lines:
            return []
        return [
            Text(),
            Rule("agent", style="dim", align="left", characters="-"),
            *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines),
        ]

    def _foot(self, run: RunView) -> RenderableType:
        took = run.took(self._now())
        words = [
            duration_text(took) if took is not None else "",
            f"tokens: {tokens_text(run)}" if tokens_text(run) else "",
            "cancel requested" if run.cancel_requested_at else "",
        ]
        foot = status_text(run.status).append("  " + "  ".join(filter(None, words)), style="not bold default")
        if self._trouble:
            foot.append(f"\nthe service is away, still watching: {self._trouble}", style="yellow")
        else:
            foot.append("  Ctrl-C leaves, the run goes on", style="not bold default dim")
        foot.no_wrap, foot.overflow = True, "ellipsis"
        return foot
