"""Follow a run until it ends: `moonmind watch`."""

import click

from moonmind.cli.naming import find_run
from moonmind.cli.options import json_option, run_argument
from moonmind.cli.surroundings import surroundings
from moonmind.cli.watching import watch_run


@click.command
@run_argument
@json_option
@click.pass_context
def watch(context: click.Context, run: str, *, as_json: bool) -> None:
    """
    Follow a run until it ends.

    RUN is its id, a unique beginning of it, or `last`. The exit code tells how it ended:
    0 succeeded, 1 failed or cancelled, 4 no work. Ctrl-C leaves the run alone.
    """
    around = surroundings()
    client = around.connect()
    context.exit(watch_run(client, find_run(client, run), around=around, as_json=as_json))
