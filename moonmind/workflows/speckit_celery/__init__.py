"""Compose the immutable chain from task names, so that composing it needs no task code."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from celery import Celery, chain
from celery.canvas import Signature

from moonmind.domain.states import Stage
from moonmind.workflows.speckit_celery.celeryconfig import celery_settings

TASK_NAMES: Mapping[Stage, str] = {stage: f"speckit.{stage.value}" for stage in Stage}


def create_celery_app(*, broker_url: str, queues: Sequence[str]) -> Celery:
    """Return an app that can send the chain; tasks are registered by `register_tasks`."""
    app = Celery("moonmind", set_as_current=False)
    app.conf.update(celery_settings(broker_url=broker_url, queues=queues))
    return app


def run_chain(
    app: Celery,
    *,
    run_id: UUID,
    epoch: int,
    stages: Sequence[Stage],
    queues: Mapping[Stage, str],
    task_ids: Mapping[Stage, str],
) -> Signature[Any]:
    """
    Return the chain of the remaining stages: immutable signatures that carry ids only.

    Each signature has its queue fixed, so a worker that knows another configuration cannot
    send the next stage astray.
    """
    links = [
        app.signature(
            TASK_NAMES[stage],
            kwargs={"run_id": str(run_id), "epoch": epoch},
            immutable=True,
            queue=queues[stage],
            task_id=task_ids[stage],
        )
        for stage in stages
    ]
    return chain(*links, app=app)
