"""Register the five tasks: each names its stage and hands over to `run_stage`."""

from collections.abc import Mapping
from uuid import UUID

from celery import Celery

from moonmind.domain.claims import StageMessage
from moonmind.domain.outcomes import Outcome
from moonmind.domain.ports import Agent
from moonmind.domain.states import Stage
from moonmind.stages.apply import apply
from moonmind.stages.discover import discover
from moonmind.stages.finalize import finalize
from moonmind.stages.publish import publish
from moonmind.stages.submit import submit
from moonmind.workflows.speckit_celery import TASK_NAMES
from moonmind.workflows.speckit_celery.orders import OrderReader
from moonmind.workflows.speckit_celery.refusals import refusing_consumer
from moonmind.workflows.speckit_celery.runner import StageContext, StageWork, run_stage
from moonmind.workflows.speckit_celery.services import Services


def register_tasks(app: Celery, services: Services) -> None:
    """
    Register the five tasks on this app alone.

    `shared=False`: a shared task would silently keep the closures of the first app in the
    process. `**_newer` lets this version read the messages of a newer one.
    """
    stages = {name: stage for stage, name in TASK_NAMES.items()}
    app.conf.worker_consumer = refusing_consumer(services.metrics, stages)
    for stage, work in _Works(services).by_stage().items():
        _register(app, services, stage, work)


def _register(app: Celery, services: Services, stage: Stage, work: StageWork) -> None:
    @app.task(name=TASK_NAMES[stage], shared=False)
    def stage_task(*, run_id: str, epoch: int, **_newer: object) -> None:
        run_stage(services, StageMessage(UUID(run_id), stage, epoch), work)


class _Works:
    """The work of each stage: read its order, and call the pure function with its collaborators."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._orders = OrderReader(services)

    def by_stage(self) -> Mapping[Stage, StageWork]:
        """Return the work by stage."""
        return {
            Stage.DISCOVER: self._discover,
            Stage.SUBMIT: self._submit,
            Stage.APPLY: self._apply,
            Stage.PUBLISH: self._publish,
            Stage.FINALIZE: self._finalize,
        }

    def _agent_of(self, context: StageContext) -> Agent:
        return self._services.agent(self._orders.agent_name(context.claimed.run_id))

    def _discover(self, context: StageContext) -> Outcome:
        return discover(
            self._orders.discover(context.claimed),
            forge=self._services.forge,
            workspace=self._services.workspace,
            artifacts=context.artifacts,
        )

    def _submit(self, context: StageContext) -> Outcome:
        return submit(
            self._orders.submit(context.claimed),
            agent=self._agent_of(context),
            forge=self._services.forge,
            workspace=self._services.workspace,
            artifacts=context.artifacts,
            credentials=context.credentials,
            guard=context.guard,
            lease=context.lease,
        )

    def _apply(self, context: StageContext) -> Outcome:
        return apply(
            self._orders.apply(context.claimed),
            agent=self._agent_of(context),
            forge=self._services.forge,
            workspace=self._services.workspace,
            artifacts=context.artifacts,
        )

    def _publish(self, context: StageContext) -> Outcome:
        return publish(
            self._orders.publish(context.claimed),
            forge=self._services.forge,
            workspace=self._services.workspace,
            artifacts=context.artifacts,
            credentials=context.credentials,
            guard=context.guard,
        )

    def _finalize(self, context: StageContext) -> Outcome:
        return finalize(self._orders.finalize(context.claimed), workspace=self._services.workspace)
