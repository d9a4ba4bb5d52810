"""Register the five tasks: each names its stage and hands over to `run_stage`."""

from uuid import UUID

from celery import Celery

from moonmind.domain.claims import StageMessage
from moonmind.domain.outcomes import Outcome
from moonmind.domain.states import Stage
from moonmind.stages.apply import apply
from moonmind.stages.discover import discover
from moonmind.stages.finalize import finalize
from moonmind.stages.publish import publish
from moonmind.stages.submit import submit
from moonmind.workflows.speckit_celery import TASK_NAMES
from moonmind.workflows.speckit_celery.orders import OrderReader
from moonmind.workflows.speckit_celery.runner import StageContext, StageWork, run_stage
from moonmind.workflows.speckit_celery.services import Services


def register_tasks(app: Celery, services: Services) -> None:
    """
    Register the five tasks on this app alone.

    `shared=False`: a shared task would silently keep the closures of the first app in the
    process. `**_newer` lets this version read the messages of a newer one.
    """
    for stage, work in _works(services).items():
        _register(app, services, stage, work)


def _register(app: Celery, services: Services, stage: Stage, work: StageWork) -> None:
    @app.task(name=TASK_NAMES[stage], shared=False)
    def stage_task(*, run_id: str, epoch: int, **_newer: object) -> None:
        run_stage(services, StageMessage(UUID(run_id), stage, epoch), work)


def _works(services: Services) -> dict[Stage, StageWork]:
    orders = OrderReader(services)

    def do_discover(context: StageContext) -> Outcome:
        return discover(
            orders.discover(context.claimed),
            forge=services.forge,
            workspace=services.workspace,
            artifacts=context.artifacts,
        )

    def do_submit(context: StageContext) -> Outcome:
        return submit(
            orders.submit(context.claimed),
            agent=services.agent(orders.agent_name(context.claimed.run_id)),
            forge=services.forge,
            workspace=services.workspace,
            artifacts=context.artifacts,
            credentials=context.credentials,
            guard=context.guard,
            lease=context.lease,
        )

    def do_apply(context: StageContext) -> Outcome:
        return apply(
            orders.apply(context.claimed),
            agent=services.agent(orders.agent_name(context.claimed.run_id)),
            forge=services.forge,
            workspace=services.workspace,
            artifacts=context.artifacts,
        )

    def do_publish(context: StageContext) -> Outcome:
        return publish(
            orders.publish(context.claimed),
            forge=services.forge,
            workspace=services.workspace,
            artifacts=context.artifacts,
            credentials=context.credentials,
            guard=context.guard,
        )

    def do_finalize(context: StageContext) -> Outcome:
        return finalize(orders.finalize(context.claimed), workspace=services.workspace)

    return {
        Stage.DISCOVER: do_discover,
        Stage.SUBMIT: do_submit,
        Stage.APPLY: do_apply,
        Stage.PUBLISH: do_publish,
        Stage.FINALIZE: do_finalize,
    }
