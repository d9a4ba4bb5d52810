"""Run a worker with its sweeper: `moonmind worker`."""

import click

from celery_worker.speckit_worker import run_worker


@click.command()
def worker() -> None:
    """Run stages from the broker until stopped."""
    run_worker()
