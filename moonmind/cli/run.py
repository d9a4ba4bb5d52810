"""Take the next phase of a repository: `moonmind run`."""

import re
import sys

import click

from moonmind.cli.client import ServiceClient
from moonmind.cli.exits import Exit
from moonmind.cli.next_step import next_step
from moonmind.cli.options import json_option, notes_option
from moonmind.cli.output import suggest, write_json
from moonmind.cli.preview_page import preview_next_step, preview_page, preview_view
from moonmind.cli.screen import console_for, print_page
from moonmind.cli.surroundings import Surroundings, surroundings
from moonmind.cli.views import run_view
from moonmind.cli.watching import watch_run

_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


def _checked_repository(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _REPOSITORY.fullmatch(value) or ".." in value:
        message = "give it as OWNER/NAME, such as acme/site"
        raise click.BadParameter(message)
    return value


@click.command
@click.argument("repository", metavar="OWNER/NAME", callback=_checked_repository)
@click.option("--feature", metavar="KEY", help="The feature's folder in specs/, where there are several.")
@click.option("--phase", metavar="PHASE", help="A phase by title, number or heading line; else the next open one.")
@click.option("--task", "tasks", metavar="ID", multiple=True, help="Only this task of the phase; may be repeated.")
@click.option("--base", metavar="BRANCH", help="The branch to work from; else the default branch.")
@click.option("--agent", metavar="NAME", help="The agent; else the service's own choice.")
@notes_option
@click.option("--dry-run", is_flag=True, help="Only show what would be done; nothing is written.")
@click.option("--watch", is_flag=True, help="Follow the run until it ends.")
@click.option("--idempotency-key", "key", metavar="KEY", help="The same key and order always give the same run.")
@json_option
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    key: str | None,
    dry_run: bool,
    watch: bool,
    as_json: bool,
    **wishes: str | tuple[str, ...],
) -> None:
    """
    Take the next phase of a repository: one branch, one pull request.

    The service finds the next phase with open tasks in specs/FEATURE/tasks.md, hands it to
    the agent, and lands the result.
    """
    if dry_run and (watch or key):
        message = "--dry-run starts nothing, so --watch and --idempotency-key do not go with it."
        raise click.UsageError(message)
    around = surroundings()
    client = around.connect()
    order = _order(wishes)
    if dry_run:
        context.exit(_preview(client, order, around, as_json=as_json))
    document = client.start_run(order, key=key or around.new_key())
    started = run_view(document)
    if not watch:
        if as_json:
            write_json(document)
        else:
            click.echo(f"run {started.id} is {started.status}")
        suggest(next_step(started), as_json=as_json)
        return
    click.echo(f"started run {started.id}", err=as_json)
    context.exit(watch_run(client, started.id, around=around, as_json=as_json))


def _order(wishes: dict[str, str | tuple[str, ...]]) -> dict[str, object]:
    """Return the request's body with only what was asked for."""
    fields: dict[str, object] = {
        "repository": wishes["repository"],
        "featureKey": wishes["feature"],
        "selectedPhase": wishes["phase"],
        "taskIds": list(wishes["tasks"]),
        "baseBranch": wishes["base"],
        "agent": wishes["agent"],
        "notes": wishes["notes"],
    }
    return {name: value for name, value in fields.items() if value}


def _preview(client: ServiceClient, order: dict[str, object], around: Surroundings, *, as_json: bool) -> int:
    document = client.preview(order)
    view = preview_view(document)
    if as_json:
        write_json(document)
    else:
        print_page(console_for(sys.stdout, around.terminal(sys.stdout)), preview_page(view))
    suggest(preview_next_step(view, order), as_json=as_json)
    return Exit.DONE if view.has_work else Exit.NO_WORK
