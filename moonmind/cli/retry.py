"""Go on with a failed or cancelled run: `moonmind retry`."""

import click

from moonmind.cli.naming import find_run
from moonmind.cli.next_step import next_step
from moonmind.cli.options import json_option, notes_option, run_argument
from moonmind.cli.output import suggest, write_json
from moonmind.cli.surroundings import surroundings
from moonmind.cli.views import run_view


@click.command
@run_argument
@click.option("--restart", is_flag=True, help="Begin again from discovery, on the newest base commit.")
@notes_option
@json_option
def retry(run: str, notes: str | None, *, restart: bool, as_json: bool) -> None:
    """
    Go on with a failed or cancelled run.

    It goes on at the stage that the failure calls for and keeps every earlier attempt.
    RUN is its id, a unique beginning of it, or `last`.
    """
    client = surroundings().connect()
    order: dict[str, object] = {"mode": "restart_from_discovery" if restart else "resume_failed_task"}
    if notes:
        order["notes"] = notes
    document = client.retry(find_run(client, run), order)
    view = run_view(document)
    if as_json:
        write_json(document)
    else:
        attempt = f", attempt {view.attempt}" if view.attempt else ""
        click.echo(f"run {view.id} is {view.status}{attempt}")
    suggest(next_step(view), as_json=as_json)
