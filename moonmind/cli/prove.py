"""Break a stack on purpose and count what that cost: `moonmind prove`."""

import signal
from secrets import randbelow

import click

from moonmind.cli.exits import Exit
from moonmind.cli.options import json_option
from moonmind.cli.output import write_json
from moonmind.cli.prove_page import kind_lines, outcome_document, outcome_lines
from moonmind.config.settings import process_environment
from moonmind.prove.faults import StackName, kinds_of
from moonmind.prove.proof import ProofOrder
from moonmind.prove.proof import prove as run_proof

_SEEDS = 1_000_000


@click.command
@click.option(
    "--stack",
    type=click.Choice([name.value for name in StackName]),
    default=StackName.EMBEDDED.value,
    show_default=True,
    help="What to start and to break.",
)
@click.option("--runs", type=click.IntRange(1), default=40, show_default=True, help="Runs to order, at least.")
@click.option("--faults", type=click.IntRange(0), default=15, show_default=True, help="Faults that must hit a run.")
@click.option("--seed", type=click.IntRange(0), help="Draws the plan of faults; a new one when it is left out.")
@click.option("--keep", is_flag=True, help="Keep the folder with logs, database and forge.")
@click.option("--list", "only_list", is_flag=True, help="Only list the kinds of faults of the stack.")
@json_option
@click.pass_context
def prove(
    context: click.Context,
    *,
    stack: str,
    runs: int,
    faults: int,
    seed: int | None,
    keep: bool,
    only_list: bool,
    as_json: bool,
) -> None:
    """
    Break a stack on purpose and count what that cost.

    Starts the stack in a temporary folder, orders runs whose agent submits to a remote that counts,
    and kills, pauses and restarts its processes while they work. Then it compares forge, remote and
    database, and ends with 1 unless nothing was lost and nothing happened twice.
    """
    name = StackName(stack)
    if only_list:
        _list_kinds(name, as_json=as_json)
        return
    # Whatever ends this process lets it end those that it started, and remove its folder.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    seed = randbelow(_SEEDS) if seed is None else seed
    _say(f"Proving {name.value} with seed {seed}: {runs} runs, {faults} faults.")
    outcome = run_proof(ProofOrder(name, runs, faults, seed, keep, process_environment()), _say)
    if as_json:
        write_json(outcome_document(outcome))
    else:
        for line in outcome_lines(outcome):
            click.echo(line)
    context.exit(Exit.DONE if outcome.holds else Exit.RUN_FAILED)


def _list_kinds(name: StackName, *, as_json: bool) -> None:
    kinds = kinds_of(name)
    if as_json:
        write_json({"stack": name.value, "kinds": [{"name": kind.name, "story": kind.story} for kind in kinds]})
        return
    for line in kind_lines(kinds):
        click.echo(line)


def _say(line: str) -> None:
    click.echo(line, err=True)
