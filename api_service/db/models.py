"""Define the tables; enums, keys and rules are checked by the database itself."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from api_service.db.types import UtcDateTime
from moonmind.domain.ids import new_id
from moonmind.domain.states import (
    ACTIVE_RUN_STATUSES,
    AuditStatus,
    RunOutcome,
    RunPhase,
    RunStatus,
    Stage,
    StageStatus,
)

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
# SQLite counts an autoincrement key only on INTEGER.
_Counter = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """The metadata all tables share."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own form
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
    }


def _one_of(column: str, members: Iterable[StrEnum], *, name: str) -> CheckConstraint:
    values = ", ".join(f"'{member.value}'" for member in members)
    return CheckConstraint(f"{column} IN ({values})", name=name)


_ACTIVE = ", ".join(f"'{status.value}'" for status in sorted(ACTIVE_RUN_STATUSES))


# The condition of a partial index, in the words that a query has to use for the index to serve it.
RUNS_WITHOUT_SUMMARY = "finished_at IS NOT NULL AND summary_at IS NULL"


class SpecWorkflowRun(Base):
    """One request for a phase, from the order to the pull request."""

    __tablename__ = "spec_workflow_runs"
    __table_args__ = (
        _one_of("status", RunStatus, name="status"),
        _one_of("phase", RunPhase, name="phase"),
        _one_of("outcome", RunOutcome, name="outcome"),
        CheckConstraint("repository = lower(repository)", name="repository_lower"),
        Index(
            "uq_spec_workflow_runs_active_feature",
            "repository",
            "feature",
            unique=True,
            sqlite_where=text(f"status IN ({_ACTIVE})"),
            postgresql_where=text(f"status IN ({_ACTIVE})"),
        ),
        Index(
            "ix_spec_workflow_runs_without_summary",
            "id",
            sqlite_where=text(RUNS_WITHOUT_SUMMARY),
            postgresql_where=text(RUNS_WITHOUT_SUMMARY),
        ),
        Index("ix_spec_workflow_runs_newest", "created_at", "id"),
        Index(
            "ix_spec_workflow_runs_status_newest",
            "status",
            "created_at",
            "id",
        ),
        Index(
            "ix_spec_workflow_runs_repository_newest",
            "repository",
            "created_at",
            "id",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    repository: Mapped[str] = mapped_column(String(200))
    # What the run is unique by: provisional until discover knows the directory.
    feature: Mapped[str] = mapped_column(String(400), default="")
    feature_key: Mapped[str | None] = mapped_column(String(400))
    feature_dir: Mapped[str | None] = mapped_column(String(400))
    status: Mapped[str] = mapped_column(String(16), default=RunStatus.PENDING.value)
    outcome: Mapped[str | None] = mapped_column(String(32))
    phase: Mapped[str] = mapped_column(String(16), default=RunPhase.DISCOVER.value)
    current_task_name: Mapped[str | None] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=1)
    epoch: Mapped[int] = mapped_column(default=1)
    event_seq: Mapped[int] = mapped_column(default=0)
    cancel_requested_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    publish_intent_at: Mapped[datetime | None]
    requested_by: Mapped[str] = mapped_column(String(100))
    notes: Mapped[str | None] = mapped_column(Text)
    wanted_phase: Mapped[str | None] = mapped_column(String(400))
    wanted_task_ids: Mapped[list[Any]] = mapped_column(default=list)
    agent: Mapped[str] = mapped_column(String(32))
    base_branch: Mapped[str | None] = mapped_column(String(250))
    base_sha: Mapped[str | None] = mapped_column(String(64))
    branch_name: Mapped[str | None] = mapped_column(String(250))
    commit_sha: Mapped[str | None] = mapped_column(String(64))
    pr_url: Mapped[str | None] = mapped_column(Text)
    pr_number: Mapped[int | None]
    codex_task_id: Mapped[str | None] = mapped_column(String(200))
    codex_task_url: Mapped[str | None] = mapped_column(Text)
    codex_queue: Mapped[str] = mapped_column(String(100))
    publish_queue: Mapped[str] = mapped_column(String(100))
    celery_chain_id: Mapped[str | None] = mapped_column(String(64))
    artifact_store_id: Mapped[str | None] = mapped_column(String(64))
    artifacts_path: Mapped[str] = mapped_column(Text)
    codex_logs_path: Mapped[str | None] = mapped_column(Text)
    codex_patch_path: Mapped[str | None] = mapped_column(Text)
    phase_title: Mapped[str | None] = mapped_column(Text)
    phase_line: Mapped[int | None]
    phase_task_ids: Mapped[list[Any]] = mapped_column(default=list)
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    failure_code: Mapped[str | None] = mapped_column(String(64))
    failure_message: Mapped[str | None] = mapped_column(Text)
    failure_remedy: Mapped[str | None] = mapped_column(Text)
    failure_stage: Mapped[str | None] = mapped_column(String(16))
    summary_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class SpecWorkflowTaskState(Base):
    """One attempt at one stage of one run."""

    __tablename__ = "spec_workflow_task_states"
    __table_args__ = (
        UniqueConstraint("run_id", "task_name", "attempt"),
        _one_of("task_name", Stage, name="task_name"),
        _one_of("status", StageStatus, name="status"),
        CheckConstraint(
            "(status IN ('succeeded', 'failed', 'skipped')) = (finished_at IS NOT NULL)",
            name="finished",
        ),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("(status = 'waiting') = (next_poll_at IS NOT NULL)", name="poll"),
        Index(
            "ix_spec_workflow_task_states_lease",
            "lease_until",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        Index(
            "ix_spec_workflow_task_states_poll",
            "next_poll_at",
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index(
            "ix_spec_workflow_task_states_dispatch",
            "next_dispatch_at",
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    task_name: Mapped[str] = mapped_column(String(16))
    position: Mapped[int]
    attempt: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(String(16), default=StageStatus.QUEUED.value)
    queue: Mapped[str] = mapped_column(String(100))
    token: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    deadline: Mapped[datetime | None]
    next_poll_at: Mapped[datetime | None]
    waiting_for: Mapped[str | None] = mapped_column(String(32))
    crashes: Mapped[int] = mapped_column(default=0)
    dispatches: Mapped[int] = mapped_column(default=0)
    # When a ready stage without a message is sent again; None while it is not ready.
    next_dispatch_at: Mapped[datetime | None]
    sent_by: Mapped[str | None] = mapped_column(String(64))
    celery_task_id: Mapped[str | None] = mapped_column(String(64))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Text)
    remedy: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    duration_ms: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WorkflowCredentialAudit(Base):
    """One credential check; rows are appended, never changed."""

    __tablename__ = "workflow_credential_audits"
    __table_args__ = (
        _one_of("status", AuditStatus, name="status"),
        CheckConstraint("status <> 'failed' OR message <> ''", name="failed_has_message"),
        Index("ix_workflow_credential_audits_run", "run_id", "checked_at"),
        Index("ix_workflow_credential_audits_subject", "subject", "checked_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    subject: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(64))
    last_four: Mapped[str | None] = mapped_column(String(4))
    login: Mapped[str | None] = mapped_column(String(200))
    scopes: Mapped[list[Any]] = mapped_column(default=list)
    expires_at: Mapped[datetime | None]
    message: Mapped[str] = mapped_column(Text)
    remedy: Mapped[str] = mapped_column(Text)
    environment: Mapped[dict[str, Any]]
    checked_at: Mapped[datetime]


class WorkflowArtifact(Base):
    """One file in the artifact store; the row appears only with the result that it belongs to."""

    __tablename__ = "workflow_artifacts"
    __table_args__ = (UniqueConstraint("run_id", "artifact_type", "attempt", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    artifact_type: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(200))
    path: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    attempt: Mapped[int]
    store_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class AgentSubmission(Base):
    """The intent to submit, recorded before the effect, and what became of it."""

    __tablename__ = "agent_submissions"
    __table_args__ = (
        CheckConstraint("state IN ('intended', 'started', 'finished', 'abandoned')", name="state"),
        UniqueConstraint("marker"),
        Index(
            "uq_agent_submissions_live",
            "stage_id",
            unique=True,
            sqlite_where=text("state IN ('intended', 'started')"),
            postgresql_where=text("state IN ('intended', 'started')"),
        ),
        Index("ix_agent_submissions_run", "run_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    stage_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_task_states.id", ondelete="CASCADE"))
    token: Mapped[int]
    agent: Mapped[str] = mapped_column(String(32))
    marker: Mapped[str] = mapped_column(String(100))
    base_sha: Mapped[str] = mapped_column(String(64))
    workspace_key: Mapped[str] = mapped_column(String(100))
    host: Mapped[str | None] = mapped_column(String(200))
    pid: Mapped[int | None]
    thread_id: Mapped[str | None] = mapped_column(String(200))
    task_id: Mapped[str | None] = mapped_column(String(200))
    task_url: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default="intended")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PushedRef(Base):
    """A commit that this service meant to push to a branch: which shas there are ours."""

    __tablename__ = "pushed_refs"
    __table_args__ = (UniqueConstraint("repository", "branch", "commit_sha"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    repository: Mapped[str] = mapped_column(String(200))
    branch: Mapped[str] = mapped_column(String(250))
    commit_sha: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]


class Worker(Base):
    """A worker process that was seen, and what it serves."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    host: Mapped[str] = mapped_column(String(200))
    queues: Mapped[list[Any]]
    versions: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class WorkflowEvent(Base):
    """One transition, in order for each run; feeds live updates and the audit trail."""

    __tablename__ = "workflow_events"
    __table_args__ = (
        UniqueConstraint("run_id", "seq"),
        CheckConstraint("type IN ('run', 'stage', 'artifact', 'log')", name="type"),
    )

    id: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str | None] = mapped_column(String(16))
    attempt: Mapped[int | None]
    status: Mapped[str | None] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime]


class WorkflowOutbox(Base):
    """A chain that has to be sent; written with the change that asks for it."""

    __tablename__ = "workflow_outbox"
    __table_args__ = (
        _one_of("from_stage", Stage, name="from_stage"),
        Index(
            "ix_workflow_outbox_unsent",
            "id",
            sqlite_where=text("sent_at IS NULL"),
            postgresql_where=text("sent_at IS NULL"),
        ),
        Index("ix_workflow_outbox_run", "run_id"),
    )

    id: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    from_stage: Mapped[str] = mapped_column(String(16))
    epoch: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """A key that stands for one request body for a day."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("token_id", "key"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    token_id: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(200))
    body_sha256: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[UUID] = mapped_column(ForeignKey("spec_workflow_runs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]


class ApiToken(Base):
    """A bearer token; only the digest of its secret is kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class WebSession(Base):
    """A browser that signed in with a token; only the digest of its cookie is kept."""

    __tablename__ = "web_sessions"

    cookie_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_id: Mapped[str] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class OperatorAudit(Base):
    """Who did what; rows are appended, never changed."""

    __tablename__ = "operator_audit"
    __table_args__ = (Index("ix_operator_audit_at", "at"),)

    id: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=True)
    token_id: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[UUID | None]
    allowed: Mapped[bool] = mapped_column(Boolean())
    detail: Mapped[dict[str, Any]]
    at: Mapped[datetime]
