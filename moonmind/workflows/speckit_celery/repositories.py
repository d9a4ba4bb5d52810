"""Gather all SQL of the workflow: the repositories, and one unit of work that opens them together."""

from sqlalchemy.orm import Session

from api_service.db.types import Clock
from moonmind.workflows.speckit_celery.repositories_operators import (
    IdempotencyRepository,
    WorkerRepository,
)
from moonmind.workflows.speckit_celery.repositories_records import (
    ArtifactRepository,
    AuditRepository,
    OutboxRepository,
    PushedRefRepository,
    SubmissionRepository,
)
from moonmind.workflows.speckit_celery.repositories_runs import (
    NewRun,
    RunFilter,
    RunRepository,
)
from moonmind.workflows.speckit_celery.repositories_stages import (
    ReadyStage,
    StageRepository,
    Stages,
)

__all__ = [
    "ArtifactRepository",
    "AuditRepository",
    "IdempotencyRepository",
    "NewRun",
    "OutboxRepository",
    "PushedRefRepository",
    "ReadyStage",
    "Repositories",
    "RunFilter",
    "RunRepository",
    "StageRepository",
    "Stages",
    "SubmissionRepository",
    "WorkerRepository",
]


class Repositories:
    """Every repository over one open session; none of them commits."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self.runs = RunRepository(session, clock)
        self.stages = StageRepository(session, clock)
        self.outbox = OutboxRepository(session, clock)
        self.artifacts = ArtifactRepository(session, clock)
        self.audits = AuditRepository(session, clock)
        self.submissions = SubmissionRepository(session, clock)
        self.pushed_refs = PushedRefRepository(session, clock)
        self.idempotency = IdempotencyRepository(session, clock)
        self.workers = WorkerRepository(session, clock)
