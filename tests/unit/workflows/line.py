"""Deliver messages to the registered tasks over a database and fakes, as a worker would, one at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from celery.exceptions import Ignore

from api_service.db.models import SpecWorkflowRun, SpecWorkflowTaskState
from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, StageMessage
from moonmind.domain.ports import RepositoryFacts
from moonmind.domain.states import STAGES, RetryMode, Stage
from moonmind.schemas.workflow_models import RunRead, TaskRead
from moonmind.testing.forges import InMemoryForge
from moonmind.testing.metrics import RecordedMetrics
from moonmind.workflows import NewRun, RetryRequest, retry_spec_workflow_run, start_spec_workflow_run
from moonmind.workflows.reading import one_run
from moonmind.workflows.speckit_celery import TASK_NAMES, create_celery_app
from moonmind.workflows.speckit_celery.claims import ClaimTerms, claim_stage, take_over, wake
from moonmind.workflows.speckit_celery.heartbeat import LeaseBook
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workflows.speckit_celery.services import Services, StageTiming
from moonmind.workflows.speckit_celery.slots import AgentSlots
from moonmind.workflows.speckit_celery.tasks import register_tasks
from tests.unit.stages.desk import REPOSITORY, Desk

PASSED = "passed"
"""The chain may go on."""
ENDED = "ended"
"""This copy of the chain ends here."""
GRACE = timedelta(seconds=60)
HOLDER = "worker-a"


class InterruptedForge(InMemoryForge):
    """A forge during whose next description of a repository something else happens."""

    def __init__(self) -> None:
        super().__init__()
        self.happening: Callable[[], object] = lambda: None

    def describe(self, repository: str) -> RepositoryFacts:
        """Let it happen, once, then answer."""
        happening, self.happening = self.happening, lambda: None
        happening()
        return super().describe(repository)


@dataclass
class Line:
    """One worker: its database, its fakes, and the five tasks."""

    database: Database
    desk: Desk
    metrics: RecordedMetrics = field(default_factory=RecordedMetrics)
    timing: StageTiming = field(default_factory=StageTiming)
    freed_slots: int = 0

    def __post_init__(self) -> None:
        self._app = create_celery_app(broker_url="memory://", queues=["codex"])
        self.services = Services(
            database=self.database,
            agents={"command": self.desk.agent},
            forge=self.desk.forge,
            workspace=self.desk.workspace,
            store=self.desk.store,
            metrics=self.metrics,
            slots=AgentSlots(1, freed=self._note_freed),
            leases=LeaseBook(),
            timing=self.timing,
            policy=self.desk.policy,
            holder=HOLDER,
            worker_name="codex-tests-1",
            public_url="http://127.0.0.1:5000",
            max_tasks=25,
        )
        register_tasks(self._app, self.services)
        self.run_id = start_spec_workflow_run(
            self.database,
            NewRun(REPOSITORY, None, "command", "ada", "codex", "codex", notes="Be kind."),
            grace=GRACE,
        )

    def use(self, **changes: object) -> None:
        """Go on as another worker process, with other services."""
        self.services = replace(self.services, **changes)  # type: ignore[arg-type]
        self._app = create_celery_app(broker_url="memory://", queues=["codex"])
        register_tasks(self._app, self.services)

    def deliver(self, stage: Stage) -> str:
        """Call the registered task's body with what a message carries."""
        epoch = self.row().epoch
        try:
            self._app.tasks[TASK_NAMES[stage]].run(run_id=str(self.run_id), epoch=epoch, from_a_newer_version=True)
        except Ignore:
            return ENDED
        return PASSED

    def deliver_all(self, stages: Sequence[Stage] = STAGES) -> list[str]:
        """Deliver as the chain does: until a task ends it."""
        ends: list[str] = []
        for stage in stages:
            ends.append(self.deliver(stage))
            if ends[-1] is ENDED:
                break
        return ends

    def retry(self, *, mode: RetryMode = RetryMode.RESUME, notes: str | None = None) -> None:
        """Ask for another attempt, with working credentials."""
        retry_spec_workflow_run(
            self.database,
            self.desk.store,
            RetryRequest(self.run_id, mode, notes),
            check_credentials=lambda _agent: None,
            grace=GRACE,
        )

    def take_over(self, *, crashed: bool = True) -> bool:
        """Find this worker dead."""
        return take_over(self.database, self.run_id, held_by=frozenset({HOLDER}), crashed=crashed, grace=GRACE)

    def wake(self, *, waiting_for: str | None = None) -> bool:
        """Queue the waiting stage again, as a sweeper does."""
        return wake(self.database, self.run_id, grace=GRACE, waiting_for=waiting_for)

    def claim_elsewhere(self, stage: Stage) -> ClaimedStage:
        """Take a stage as another worker would."""
        terms = ClaimTerms("worker-b", timedelta(seconds=60), timedelta(minutes=5), self.desk.store.store_id)
        claimed = claim_stage(self.database, StageMessage(self.run_id, stage, self.row().epoch), terms)
        assert isinstance(claimed, ClaimedStage)
        return claimed

    def row(self) -> SpecWorkflowRun:
        """Return the run's row."""
        with self.database.reading() as session:
            return Repositories(session, self.database.clock).runs.get(self.run_id)

    def stage(self, stage: Stage) -> SpecWorkflowTaskState:
        """Return the newest row of a stage."""
        with self.database.reading() as session:
            return Repositories(session, self.database.clock).stages.latest(self.run_id)[stage]

    def read(self) -> RunRead:
        """Return the run as operators read it."""
        return one_run(self.database, self.run_id, public_url=self.services.public_url)

    def task(self, stage: Stage, *, attempt: int = 1) -> TaskRead:
        """Return one attempt at a stage as operators read it."""
        (found,) = [task for task in self.read().tasks if (task.task_name, task.attempt) == (stage.value, attempt)]
        return found

    def events(self) -> list[tuple[str | None, str | None]]:
        """Return stage and status of all events, in order."""
        with self.database.reading() as session:
            events = Repositories(session, self.database.clock).runs.events(self.run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return [(event.stage, event.status) for event in events]

    def content(self, artifact_type: str) -> list[bytes]:
        """Return the bytes of the run's recorded artifacts of a type, oldest first."""
        with self.database.reading() as session:
            rows = Repositories(session, self.database.clock).artifacts.all(self.run_id)
        return [self.desk.store._contents[row.path] for row in rows if row.artifact_type == artifact_type]

    def _note_freed(self) -> None:
        self.freed_slots += 1
