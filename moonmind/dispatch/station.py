"""Put one worker process together: services, tasks, relay and sweeper over one database and broker."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from celery import Celery

from api_service.db.session import Database
from moonmind.config.settings import Settings
from moonmind.dispatch.holders import Holder
from moonmind.dispatch.janitor import Janitor
from moonmind.dispatch.outbox import Relay
from moonmind.dispatch.recovery import Sweep, Sweeper
from moonmind.domain.ports import Metrics
from moonmind.telemetry.metrics import NoMetrics, StatsdMetrics
from moonmind.telemetry.redaction import Redactor
from moonmind.workflows.speckit_celery import create_celery_app
from moonmind.workflows.speckit_celery.heartbeat import LeaseBook
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workflows.speckit_celery.services import (
    Services,
    StageTiming,
    known_secrets,
    make_agents,
    make_forge,
    make_policy,
)
from moonmind.workflows.speckit_celery.slots import AgentSlots
from moonmind.workflows.speckit_celery.storage import FileArtifactStore
from moonmind.workflows.speckit_celery.tasks import register_tasks
from moonmind.workspace.checkout import GitWorkspace


@dataclass(frozen=True)
class Station:
    """All that a process needs to run stages and to recover those of others."""

    settings: Settings
    services: Services
    app: Celery
    store: FileArtifactStore
    redact: Callable[[bytes], bytes]
    relay: Relay
    sweep: Sweep
    sweeper: Sweeper
    holder: Holder

    def recover(self, *, alone: bool) -> None:
        """
        Take over what dead processes on this host held, before new work begins.

        `alone` means that no other process can hold a message: an embedded broker starts empty,
        so every ready stage is sent again.
        """
        dead = self.holder.dead()
        self.sweep.take_over_from(dead)
        self.sweep.send_ready_again(None if alone else dead)
        self.relay.send_all()
        self.holder.bury(dead)

    def courier(self, run_id: UUID) -> None:
        """Send one run's chain right after its commit; what fails is left to the sweeper."""
        self.relay.send_one(run_id)

    def close(self) -> None:
        """Give up what runs here without counting a crash, and leave."""
        self.sweeper.stop()
        mine = frozenset({self.holder.id})
        self.sweep.take_over_from(mine, clean=mine)
        self.holder.release()
        self.services.database.dispose()


def build_station(
    settings: Settings,
    database: Database,
    *,
    environment: Mapping[str, str],
    adapt: Callable[[Services], Services] = lambda services: services,
) -> Station:
    """
    Build everything over an open database whose schema is current.

    `adapt` may put something between the stages and their collaborators, such as a meter.
    """
    app = create_celery_app(broker_url=settings.broker_url.get_secret_value(), queues=settings.queues)
    holder = Holder(settings.data / "holders")
    timing = StageTiming.of(settings)
    relay = Relay(database, app, sender=holder.id, grace=timing.grace)
    redactor = Redactor(known_secrets(settings))
    store = FileArtifactStore(settings.effective_artifact_root, scrub=redactor)
    sweep = Sweep(database, app, relay, store, timing)
    workspaces = settings.data / "workspaces"
    janitor = Janitor(database, workspaces)
    sweeper = Sweeper(sweep, interval=timedelta(seconds=settings.sweep_seconds), afterwards=janitor.clean_if_due)
    services = Services(
        database=database,
        agents=make_agents(settings, environment),
        forge=make_forge(settings),
        workspace=GitWorkspace(workspaces, surroundings=environment),
        store=store,
        metrics=_metrics(settings),
        slots=AgentSlots(settings.agent_slots, freed=sweeper.slot_freed),
        leases=LeaseBook(),
        timing=timing,
        policy=make_policy(settings),
        holder=holder.id,
        worker_name=f"codex-{socket.gethostname()}-{os.getpid()}",
        public_url=settings.public_url,
        max_tasks=settings.max_tasks_per_run,
    )
    services = adapt(services)
    register_tasks(app, services)
    with database.transaction() as session:
        workers = Repositories(session, database.clock).workers
        workers.seen(
            holder.id,
            name=services.worker_name,
            host=socket.gethostname(),
            queues=settings.queues,
            versions={name: agent.version for name, agent in services.agents.items()},
        )
    return Station(settings, services, app, store, redactor.data, relay, sweep, sweeper, holder)


def _metrics(settings: Settings) -> Metrics:
    if settings.statsd_host is None:
        return NoMetrics()
    return StatsdMetrics(settings.statsd_host, settings.statsd_port, settings.metrics_prefix)
