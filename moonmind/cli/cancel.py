"""Stop a run: `moonmind cancel`."""

import click

from moonmind.cli.naming import find_run
from moonmind.cli.next_step import next_step
from moonmind.cli.options import json_option, run_argument
from moonmind.cli.output import suggest, write_json
from moonmind.cli.surroundings import surroundings
from moonmind.cli.times import time_text
from moonmind.cli.views import run_view


@click.command
@run_argument
@click.option("--reason", metavar="TEXT", help="Kept with the run.")
@json_option
def cancel(run: str, reason: str | None, *, as_json: bool) -> None:
    """
    Stop a run.

    The agent is stopped and nothing new is published. A pull request that is just being
    opened is finished, so that no branch is left without a word. Asking twice is fine.
    RUN is its id, a unique beginning of it, or `last`.
    """
    client = surroundings().connect()
    document = client.cancel(find_run(client, run), {"reason": reason} if reason else {})
    view = run_view(document)
    if as_json:
        write_json(document)
    else:
        asked = f", cancel asked for at {time_text(view.cancel_requested_at)}" if view.cancel_requested_at else ""
        click.echo(f"run {view.id} is {view.status}{asked}")
    suggest(next_step(view), as_json=as_json)
