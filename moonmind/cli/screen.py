"""Make the console that pages are printed on, fitted to what the stream can do."""

from typing import TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from moonmind.config.client import Terminal

# A file or a pipe has no edge; long lines are better there than cut ones.
_PIPE_WIDTH = 240
_NARROW = 70
_STYLES = {
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "no_work": "cyan",
    "running": "bold blue",
    "retrying": "bold blue",
    "waiting": "yellow",
    "queued": "dim",
    "pending": "dim",
    "skipped": "dim",
}


def console_for(stream: TextIO, terminal: Terminal) -> Console:
    """Return a console that prints text as it is: no markup, no emoji codes, no guessed highlights."""
    is_terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal.is_live or terminal.has_color,
        color_system="auto" if terminal.has_color else None,
        no_color=not terminal.has_color,
        width=terminal.width if terminal.width or is_terminal else _PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_page(console: Console, page: RenderableType) -> None:
    """Print a page; a file or a pipe gets no spaces that only fill up a column."""
    if console.is_terminal:
        console.print(page)
        return
    with console.capture() as capture:
        console.print(page)
    console.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def is_narrow(console: Console) -> bool:
    """Say whether a table of several columns would be squeezed."""
    return console.width < _NARROW


def status_text(status: str, shown: str = "") -> Text:
    """Return a status word in its colour."""
    return Text(shown or status, style=_STYLES.get(status, ""))
