"""List the files that a run stored: `moonmind artifacts`."""

import shlex
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moonmind.cli.json_values import documents
from moonmind.cli.naming import find_run
from moonmind.cli.options import json_option, run_argument
from moonmind.cli.output import suggest, write_json
from moonmind.cli.screen import console_for, is_narrow, print_page
from moonmind.cli.surroundings import surroundings
from moonmind.cli.views import ArtifactView, artifact_view

_KIBI = 1024
_PREFERRED = ("codex_patch", "codex_logs", "run_summary")


@click.command
@run_argument
@json_option
def artifacts(run: str, *, as_json: bool) -> None:
    """
    List the files that a run stored, those of earlier attempts too.

    RUN is its id, a unique beginning of it, or `last`.
    """
    around = surroundings()
    client = around.connect()
    run_id = find_run(client, run)
    document = client.artifacts(run_id)
    found = [artifact_view(item) for item in documents(document.get("artifacts"))]
    if as_json:
        write_json(document)
    else:
        _print(console_for(sys.stdout, around.terminal(sys.stdout)), found)
    suggest(_next_step(run_id, found), as_json=as_json)


def _print(console: Console, found: Sequence[ArtifactView]) -> None:
    if not found:
        print_page(console, Text("no artifacts yet"))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    narrow = is_narrow(console)
    for title in ("TYPE", "TRY", "SIZE", "NAME") if narrow else ("TYPE", "TRY", "SIZE", "NAME", "DIGEST"):
        table.add_column(
            title, no_wrap=title != "NAME", overflow="fold", justify="right" if title == "SIZE" else "left"
        )
    for artifact in found:
        cells = [artifact.artifact_type, str(artifact.attempt), size_text(artifact.size_bytes), artifact.name]
        table.add_row(*map(Text, cells), *([] if narrow else [Text(artifact.short_digest)]))
    print_page(console, table)


def size_text(size: int) -> str:
    """Return a size in bytes or the next fitting unit."""
    if size < _KIBI:
        return f"{size} B"
    return f"{size / _KIBI:.1f} KiB" if size < _KIBI * _KIBI else f"{size / _KIBI / _KIBI:.1f} MiB"


def _next_step(run_id: str, found: Sequence[ArtifactView]) -> str:
    types = [artifact.artifact_type for artifact in found]
    best = next((kind for kind in (*_PREFERRED, *types) if kind in types), None)
    return f"moonmind download {run_id} {shlex.quote(best)}" if best else f"moonmind watch {run_id}"
