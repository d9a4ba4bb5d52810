"""Watch a run on whatever the output is, and end with its result, the next step and its exit code."""

import sys
from contextlib import AbstractContextManager, nullcontext

import click
from rich.text import Text

from moonmind.cli.client import ServiceClient
from moonmind.cli.exits import Exit, exit_for_run
from moonmind.cli.following import ProgressView, follow_run
from moonmind.cli.live_view import LiveView
from moonmind.cli.next_step import next_step
from moonmind.cli.output import suggest, write_json
from moonmind.cli.plain_view import PlainView
from moonmind.cli.run_page import facts_grid, result_facts
from moonmind.cli.screen import console_for, print_page
from moonmind.cli.surroundings import Surroundings
from moonmind.cli.views import run_view


def watch_run(client: ServiceClient, run_id: str, *, around: Surroundings, as_json: bool) -> int:
    """
    Show a run until it ends and return its exit code.

    With JSON the progress goes to standard error and the run's last state to standard output.
    Ctrl-C leaves the run alone.
    """
    stream = sys.stderr if as_json else sys.stdout
    terminal = around.terminal(stream)
    console = console_for(stream, terminal)
    drawing: AbstractContextManager[ProgressView] = (
        LiveView(console, around.now) if terminal.is_live else nullcontext(PlainView(stream, around.now))
    )
    try:
        with drawing as view:
            document = follow_run(client, run_id, view=view, around=around, with_log=terminal.is_live)
    except KeyboardInterrupt:
        click.echo("stopped watching; the run goes on", err=True)
        suggest(f"moonmind watch {run_id}", as_json=True)
        return Exit.INTERRUPTED
    run = run_view(document)
    if as_json:
        write_json(client.run(run_id))
    else:
        print_page(console, Text())
        print_page(console, facts_grid(result_facts(run, around.now())))
    suggest(next_step(run), as_json=as_json)
    return exit_for_run(run.status)
