"""Read and change what surrounds a run: outbox, artifacts, audits, submissions, pushed commits."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api_service.db.models import (
    AgentSubmission,
    PushedRef,
    SpecWorkflowRun,
    WorkflowArtifact,
    WorkflowCredentialAudit,
    WorkflowOutbox,
)
from api_service.db.types import Clock
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.ids import new_id
from moonmind.domain.ports import AgentHandle, SubmissionIntent, Verdict
from moonmind.domain.results import StoredArtifact
from moonmind.domain.states import Stage

_LIVE = ("intended", "started")


class OutboxRepository:
    """Chains that have to be sent."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def add(self, run: SpecWorkflowRun, from_stage: Stage) -> None:
        """Ask for the chain from a stage on; the row commits with the change that needs it."""
        self._session.add(
            WorkflowOutbox(
                run_id=run.id,
                from_stage=from_stage.value,
                epoch=run.epoch,
                attempts=0,
                created_at=self._clock.now(),
            )
        )

    def lease_next(self, *, lease: timedelta, sender: str, run_id: UUID | None = None) -> WorkflowOutbox | None:
        """Take one unsent row that no other relay holds."""
        row = WorkflowOutbox
        free = (
            row.sent_at.is_(None),
            (row.leased_until.is_(None)) | (row.leased_until <= self._clock.now()),
        )
        statement = select(row).where(*free).order_by(row.id).limit(1).with_for_update(skip_locked=True)
        if run_id is not None:
            statement = statement.where(row.run_id == run_id)
        found = self._session.scalar(statement)
        if found is not None:
            found.attempts += 1
            found.leased_until = self._clock.now(lease)
            found.leased_by = sender
            self._session.flush()
        return found

    def mark_sent(self, outbox_id: int) -> None:
        """Note that the chain is with the broker; a crash before this makes a second copy, which is harmless."""
        row = WorkflowOutbox
        self._session.execute(update(row).where(row.id == outbox_id).values(sent_at=self._clock.now()))

    def release(self, outbox_id: int, *, attempt: int) -> None:
        """
        Give a row back that could not be sent, so that the next sweep tries again.

        Only the relay whose attempt is the last one may: a slow one would end another's lease.
        """
        row = WorkflowOutbox
        mine = (row.id == outbox_id, row.attempts == attempt)
        self._session.execute(update(row).where(*mine).values(leased_until=None))

    def release_from(self, senders: Sequence[str] | None) -> None:
        """Give back what relays that are known to be gone had taken (None: all of them)."""
        row = WorkflowOutbox
        theirs = [row.sent_at.is_(None), row.leased_until.is_not(None)]
        if senders is not None:
            theirs.append(row.leased_by.in_(senders))
        self._session.execute(update(row).where(*theirs).values(leased_until=None))

    def has_unsent(self, run_id: UUID) -> bool:
        """Say whether a chain of the run is still to be sent."""
        row = WorkflowOutbox
        return (
            self._session.scalar(select(row.id).where(row.run_id == run_id, row.sent_at.is_(None)).limit(1)) is not None
        )


class ArtifactRepository:
    """Rows of stored files."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def record(self, run_id: UUID, artifacts: Sequence[StoredArtifact], *, attempt: int) -> None:
        """Insert rows, or point an existing one of the same attempt to the newer file."""
        for stored in artifacts:
            row = self._same(run_id, stored, attempt) or WorkflowArtifact(
                id=new_id(),
                run_id=run_id,
                artifact_type=stored.artifact_type,
                name=stored.name,
                attempt=attempt,
                created_at=self._clock.now(),
            )
            row.path = stored.path
            row.content_type = stored.content_type
            row.size_bytes = stored.size_bytes
            row.sha256 = stored.sha256
            row.store_id = stored.store_id
            self._session.add(row)
        self._session.flush()

    def all(self, run_id: UUID) -> Sequence[WorkflowArtifact]:
        """Return a run's artifacts, oldest first."""
        row = WorkflowArtifact
        return self._session.scalars(select(row).where(row.run_id == run_id).order_by(row.created_at, row.id)).all()

    def get(self, run_id: UUID, artifact_id: UUID) -> WorkflowArtifact | None:
        """Return one artifact of a run."""
        row = WorkflowArtifact
        return self._session.scalar(select(row).where(row.run_id == run_id, row.id == artifact_id))

    def _same(self, run_id: UUID, stored: StoredArtifact, attempt: int) -> WorkflowArtifact | None:
        row = WorkflowArtifact
        return self._session.scalar(
            select(row).where(
                row.run_id == run_id,
                row.artifact_type == stored.artifact_type,
                row.attempt == attempt,
                row.name == stored.name,
            )
        )


class AuditRepository:
    """Credential verdicts; appended, never changed."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def append(self, verdict: Verdict, *, run_id: UUID | None, environment: Mapping[str, str]) -> None:
        """Keep one verdict with the surroundings in which it was found."""
        self._session.add(
            WorkflowCredentialAudit(
                id=new_id(),
                run_id=run_id,
                subject=verdict.subject,
                status=verdict.status.value,
                kind=verdict.kind,
                last_four=verdict.last_four,
                login=verdict.login,
                scopes=list(verdict.scopes),
                expires_at=verdict.expires_at,
                message=verdict.message,
                remedy=verdict.remedy,
                environment={**environment, **verdict.environment},
                checked_at=self._clock.now(),
            )
        )

    def all(self, run_id: UUID) -> Sequence[WorkflowCredentialAudit]:
        """Return a run's verdicts, oldest first."""
        row = WorkflowCredentialAudit
        return self._session.scalars(select(row).where(row.run_id == run_id).order_by(row.checked_at, row.id)).all()


class SubmissionRepository:
    """What was handed to agents."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def intend(self, claimed: ClaimedStage, intent: SubmissionIntent) -> None:
        """Record a submission before it happens; an earlier live one of the stage is given up."""
        row = AgentSubmission
        live = (row.stage_id == claimed.stage_id, row.state.in_(_LIVE))
        self._session.execute(update(row).where(*live).values(state="abandoned", updated_at=self._clock.now()))
        self._session.add(
            row(
                id=new_id(),
                run_id=claimed.run_id,
                stage_id=claimed.stage_id,
                token=claimed.token,
                agent=intent.agent,
                marker=intent.marker,
                base_sha=intent.base_sha,
                workspace_key=intent.workspace_key,
                state="intended",
                created_at=self._clock.now(),
                updated_at=self._clock.now(),
            )
        )

    def start(self, marker: str, handle: AgentHandle) -> None:
        """Store where a live submission runs; one that was given up stays so."""
        row = AgentSubmission
        values = {
            "state": "started",
            "host": handle.host,
            "pid": handle.pid,
            "thread_id": handle.thread_id,
            "task_id": handle.task_id,
            "task_url": handle.task_url,
            "updated_at": self._clock.now(),
        }
        live = (row.marker == marker, row.state.in_(_LIVE))
        self._session.execute(update(row).where(*live).values(values))

    def finish_live(self, stage_id: UUID, *, state: str) -> None:
        """Close the live submission of a stage that ended."""
        row = AgentSubmission
        live = (row.stage_id == stage_id, row.state.in_(_LIVE))
        self._session.execute(update(row).where(*live).values(state=state, updated_at=self._clock.now()))

    def abandon_live(self, run_id: UUID) -> None:
        """Close the live submissions of a run that ended, whoever made them."""
        row = AgentSubmission
        live = (row.run_id == run_id, row.state.in_(_LIVE))
        self._session.execute(update(row).where(*live).values(state="abandoned", updated_at=self._clock.now()))

    def workspaces_of(self, run_id: UUID) -> Sequence[str]:
        """Return the workspace keys that a run's submissions used."""
        row = AgentSubmission
        return self._session.scalars(select(row.workspace_key).where(row.run_id == run_id)).all()

    def owned_workspaces(self) -> frozenset[str]:
        """Return the workspace keys that a live submission owns."""
        row = AgentSubmission
        return frozenset(self._session.scalars(select(row.workspace_key).where(row.state.in_(_LIVE))))


class PushedRefRepository:
    """Which commits on a branch are ours."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def intend(self, run: SpecWorkflowRun, *, branch: str, commit_sha: str) -> None:
        """Record a commit before it is pushed."""
        if commit_sha in self.shas(run.repository, branch):
            return
        self._session.add(
            PushedRef(
                id=new_id(),
                repository=run.repository,
                branch=branch,
                commit_sha=commit_sha,
                run_id=run.id,
                created_at=self._clock.now(),
            )
        )

    def by_branch(self, repository: str) -> Mapping[str, frozenset[str]]:
        """Return every commit of ours in a repository, by the branch that it was meant for."""
        row = PushedRef
        found: dict[str, set[str]] = {}
        statement = select(row.branch, row.commit_sha).where(row.repository == repository)
        for branch, commit_sha in self._session.execute(statement):
            found.setdefault(branch, set()).add(commit_sha)
        return {branch: frozenset(shas) for branch, shas in found.items()}

    def shas(self, repository: str, branch: str) -> frozenset[str]:
        """Return every commit of ours that was meant for a branch."""
        row = PushedRef
        wanted = (row.repository == repository, row.branch == branch)
        return frozenset(self._session.scalars(select(row.commit_sha).where(*wanted)))
