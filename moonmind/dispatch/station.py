"""Put one worker process together: services, tasks, relay and sweeper over one database and broker."""

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from celery import Celery

from api_service.db.session import Database
from moonmind.config.settings import Settings
from moonmind.dispatch.broker import errors_of, messages_in
from moonmind.dispatch.holders import Holder
from moonmind.dispatch.housekeeping import Housekeeping
from moonmind.dispatch.janitor import Janitor
from moonmind.dispatch.outbox import Relay
from moonmind.dispatch.recovery import Sweep, Sweeper
from moonmind.domain.errors import WorkflowError
from moonmind.domain.ports import Metrics
from moonmind.telemetry.metrics import NoMetrics, StatsdMetrics
from moonmind.telemetry.redaction import Redactor
from moonmind.workflows.speckit_celery import create_celery_app
from moonmind.workflows.speckit_celery.claims import send_again, take_over
from moonmind.workflows.speckit_celery.heartbeat import HeldStage, LeaseBook
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workflows.speckit_celery.services import (
    Services,
    StageTiming,
    make_agents,
    make_forge,
    make_policy,
)
from moonmind.workflows.speckit_celery.slots import AgentSlots
from moonmind.workflows.speckit_celery.storage import FileArtifactStore
from moonmind.workflows.speckit_celery.tasks import register_tasks
from moonmind.workspace.checkout import GitWorkspace

_log = structlog.get_logger(__name__)
_NEIGHBOURS_SECONDS = 2.0
_JANITOR_SECONDS = 300.0


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
    housekeeping: Housekeeping

    def recover(self, *, alone: bool) -> None:
        """
        Take over what dead processes on this host held.

        Workers look for them at their start and every few seconds, so that a neighbour's stages
        need not wait for their leases.

        `alone` means that no other process can hold a message: an embedded broker starts empty,
        so every ready stage is sent again.
        """
        dead = self.holder.dead()
        if not dead and not alone:
            return
        self.relay.release_from(None if alone else dead)
        self.sweep.take_over_from(dead)
        self.sweep.send_ready_again(None if alone else dead)
        self.relay.send_all()
        self.holder.bury(dead)

    def courier(self, run_id: UUID) -> None:
        """Send one run's chain right after its commit; what fails is left to the sweeper."""
        self.relay.send_one(run_id)

    def seen(self, queues: Sequence[str]) -> None:
        """Note in the database that this worker is alive, and which queues it takes messages from."""
        with self.services.database.transaction() as session:
            Repositories(session, self.services.database.clock).workers.seen(
                self.holder.id,
                name=self.services.worker_name,
                host=socket.gethostname(),
                queues=queues,
                versions={name: agent.version for name, agent in self.services.agents.items()},
            )

    def untaken(self, queues: Sequence[str], *, prefetched: int) -> int:
        """
        Return how many messages wait in queues that have ready stages, with those that were prefetched.

        It is 0 when the broker does not answer: nobody can take a message from it then.
        """
        with self.services.database.reading() as session:
            stages = Repositories(session, self.services.database.clock).stages
            wanted = [queue for queue in dict.fromkeys(queues) if stages.ready_count(queue)]
        try:
            waiting = sum(messages_in(self.app, queue) for queue in wanted)
        except errors_of(self.app):
            return 0
        return waiting + prefetched if wanted else 0

    def link_lost(self, run_id: UUID) -> None:
        """
        Send a run's remaining chain again, because its next message is known not to have been sent.

        Without this the stage would wait until its message counts as forgotten. Safe to repeat.
        """
        timing = self.services.timing
        try:
            send_again(self.services.database, run_id, grace=timing.grace, longest=timing.longest_grace)
        except WorkflowError as error:
            _log.warning("link_left_to_the_sweep", run=str(run_id), detail=error.detail)
            return
        self.sweeper.wake()

    def give_back(self, crashed: Collection[HeldStage]) -> None:
        """Queue all stages of this process again, right before it ends; those named count a crash."""
        mine = frozenset({self.holder.id})
        for stage in crashed:
            run_id = stage.claimed.run_id
            take_over(self.services.database, run_id, held_by=mine, crashed=True, grace=self.services.timing.grace)
        self.sweep.take_over_from(mine, clean=mine)

    def close(self) -> None:
        """Give up what runs here without counting a crash, and leave."""
        self.sweeper.stop()
        try:
            self.give_back(())
        except WorkflowError as error:
            # The lock file stays, so that the next process on this host does it.
            _log.warning("stages_not_given_back", detail=error.detail)
        else:
            self.holder.release()
        self.services.database.dispose()


def build_station(
    settings: Settings,
    database: Database,
    *,
    environment: Mapping[str, str],
    app: Celery | None = None,
    adapt: Callable[[Services], Services] = lambda services: services,
) -> Station:
    """
    Build everything over an open database whose schema is current.

    Without an `app` one is made from the settings. `adapt` may put something between the stages
    and their collaborators, such as a meter.
    """
    app = app or create_celery_app(broker_url=settings.broker_url.get_secret_value(), queues=settings.queues)
    holder = Holder(settings.data / "holders")
    timing = StageTiming.of(settings)
    relay = Relay(database, app, sender=holder.id, grace=timing.grace)
    redactor = Redactor(settings.secret_values)
    store = FileArtifactStore(settings.effective_artifact_root, scrub=redactor)
    sweep = Sweep(database, app, relay, store, timing)
    workspaces = settings.data / "workspaces"
    housekeeping = Housekeeping()
    sweeper = Sweeper(sweep, interval=timedelta(seconds=settings.sweep_seconds), afterwards=housekeeping.run_due)
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
        # Unlike a host's name and a process's number, the holder's id differs between two containers too.
        worker_name=f"codex-{holder.id[:8]}@{socket.gethostname()}",
        public_url=settings.public_url,
        max_tasks=settings.max_tasks_per_run,
    )
    services = adapt(services)
    register_tasks(app, services)
    station = Station(settings, services, app, store, redactor.data, relay, sweep, sweeper, holder, housekeeping)
    station.seen(settings.queues)
    housekeeping.add(_NEIGHBOURS_SECONDS, lambda: station.recover(alone=False))
    housekeeping.add(_JANITOR_SECONDS, Janitor(database, workspaces).clean)
    return station


def _metrics(settings: Settings) -> Metrics:
    if settings.statsd_host is None:
        return NoMetrics()
    return StatsdMetrics(settings.statsd_host, settings.statsd_port, settings.metrics_prefix)
