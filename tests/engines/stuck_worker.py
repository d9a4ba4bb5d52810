"""A worker with an ailment, for the watchdog's tests: `python stuck_worker.py deaf|hanging`."""

import dataclasses
import os
import sys
import time
from datetime import timedelta
from typing import Any

import celery.signals

from celery_worker.speckit_worker import create_app, run_worker
from moonmind.domain.ports import Workspace
from moonmind.workflows.speckit_celery.services import Services


def deaf(services: Services) -> Services:
    """Let the consumer lose its queues without noticing, as broker clients do after some reconnects."""

    def cancel(sender: Any, **_signal: object) -> None:
        sender.task_consumer.cancel()

    celery.signals.worker_ready.connect(cancel, weak=False)
    return services


class HangingWorkspace:
    """Hangs in whatever a stage asks of it, beyond the reach of deadlines."""

    def __init__(self, inner: Workspace) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_named: time.sleep(600)


def hanging(services: Services) -> Services:
    """Let every stage hang, with a deadline of a second."""
    timing = dataclasses.replace(services.timing, stage_limit=timedelta(seconds=1))
    return dataclasses.replace(services, workspace=HangingWorkspace(services.workspace), timing=timing)


AILMENTS = {"deaf": deaf, "hanging": hanging}

if __name__ == "__main__":
    run_worker(create_app(os.environ, adapt=AILMENTS[sys.argv[1]]))  # noqa: TID251 - an entry point
