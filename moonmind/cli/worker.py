"""Run a worker with its sweeper: `moonmind worker`."""

import click

from celery_worker.speckit_worker import create_app, run_worker
from moonmind.config.settings import process_environment


@click.command()
@click.option(
    "-Q",
    "--queues",
    default="",
    metavar="NAME[,NAME]",
    help="Take messages from these queues only; default: the codex and the publish queue.",
)
def worker(queues: str) -> None:
    """
    Run stages from the broker until stopped.

    It waits for a database, a schema or a broker that is not there yet. It exits with 75 when it
    cannot work on: let a supervisor start it again.
    """
    run_worker(create_app(process_environment()), queues=[name for name in queues.split(",") if name])
