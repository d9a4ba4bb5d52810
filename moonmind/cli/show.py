"""Show one run: `moonmind show`."""

import sys

import click

from moonmind.cli.naming import find_run
from moonmind.cli.next_step import next_step
from moonmind.cli.options import json_option, run_argument
from moonmind.cli.output import suggest, write_json
from moonmind.cli.run_page import run_page
from moonmind.cli.screen import console_for, is_narrow, print_page
from moonmind.cli.surroundings import surroundings
from moonmind.cli.views import run_view


@click.command
@run_argument
@json_option
def show(run: str, *, as_json: bool) -> None:
    """
    Show one run: stages, result, failure and what to do next.

    RUN is its id, a unique beginning of it, or `last`.
    """
    around = surroundings()
    client = around.connect()
    document = client.run(find_run(client, run))
    view = run_view(document)
    if as_json:
        write_json(document)
    else:
        console = console_for(sys.stdout, around.terminal(sys.stdout))
        print_page(console, run_page(view, now=around.now(), narrow=is_narrow(console)))
    suggest(next_step(view), as_json=as_json)
