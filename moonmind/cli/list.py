"""List runs: `moonmind list`."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from moonmind.cli.json_values import documents, text
from moonmind.cli.options import json_option
from moonmind.cli.output import suggest, write_json
from moonmind.cli.screen import console_for, is_narrow, print_page, status_text
from moonmind.cli.surroundings import surroundings
from moonmind.cli.times import duration_text
from moonmind.cli.views import RunView, run_view
from moonmind.domain.states import RunStatus

_MOST = 100
_LONG = {"REPOSITORY", "FEATURE", "PHASE"}


@click.command(name="list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in RunStatus]),
    help="May be repeated.",
)
@click.option("--repository", metavar="OWNER/NAME", help="Runs of one repository.")
@click.option("--feature", metavar="KEY", help="Runs of one feature.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=25, show_default=True, help="Runs on a page.")
@click.option("--cursor", help="Where the next page begins, as the last page told.")
@json_option
def list_runs(
    statuses: tuple[str, ...],
    repository: str | None,
    feature: str | None,
    limit: int,
    cursor: str | None,
    *,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    filters = [("status", status) for status in statuses]
    filters += [("repository", repository)] if repository else []
    filters += [("featureKey", feature)] if feature else []
    around = surroundings()
    page = around.connect().list_runs([*filters, ("limit", str(limit)), *([("cursor", cursor)] if cursor else [])])
    runs = [run_view(item) for item in documents(page.get("items"))]
    if as_json:
        write_json(page)
    else:
        _print_runs(console_for(sys.stdout, around.terminal(sys.stdout)), runs, around.now())
    cursor_next = text(page.get("nextCursor"))
    suggest(_next_page(filters, limit, cursor_next) if cursor_next else _next_step(runs), as_json=as_json)


def _print_runs(console: Console, runs: Sequence[RunView], now: datetime) -> None:
    if not runs:
        print_page(console, Text("no runs"))
    elif is_narrow(console):
        for run in runs:
            print_page(console, Text.assemble(run.short_id, "  ", status_text(run.status), "  ", _age(run, now)))
            for line in filter(None, [f"{run.repository}  {run.feature}".rstrip(), run.phase_title, run.pr_url]):
                print_page(console, Padding(Text(line, style="dim", overflow="fold"), (0, 0, 0, 2)))
    else:
        print_page(console, _table(runs, now, is_piped=not console.is_terminal))


def _table(runs: Sequence[RunView], now: datetime, *, is_piped: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    # The table squeezes columns that may wrap before it touches the others; their cells are cut, not wrapped.
    for title in ("RUN", "STATUS", "AGE", "REPOSITORY", "FEATURE", "PHASE", "PR"):
        table.add_column(title, no_wrap=title not in _LONG)
    for run in runs:
        pull_request = run.pr_url if is_piped else (f"#{run.pr_number}" if run.pr_number else "")
        cells = (_age(run, now), run.repository, run.feature, run.phase_title, pull_request)
        table.add_row(Text(run.short_id), status_text(run.status), *map(_cut_cell, cells))
    return table


def _cut_cell(words: str) -> Text:
    return Text(words, no_wrap=True, overflow="ellipsis")


def _age(run: RunView, now: datetime) -> str:
    return duration_text(now - run.created_at).split()[0] if run.created_at else ""


def _next_page(filters: Sequence[tuple[str, str]], limit: int, cursor: str) -> str:
    return " ".join(["moonmind list", *_words(filters, limit), f"--cursor {shlex.quote(cursor)}"])


def _words(filters: Sequence[tuple[str, str]], limit: int) -> Iterator[str]:
    for name, value in filters:
        yield f"--{'feature' if name == 'featureKey' else name} {shlex.quote(value)}"
    yield f"--limit {limit}"


def _next_step(runs: Sequence[RunView]) -> str:
    if not runs:
        return "moonmind run OWNER/NAME"
    active = next((run for run in runs if run.is_active), None)
    return f"moonmind watch {active.short_id}" if active else f"moonmind show {runs[0].short_id}"
