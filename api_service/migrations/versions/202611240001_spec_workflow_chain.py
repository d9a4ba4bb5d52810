"""Create the tables of the spec workflow chain."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from api_service.db.types import UtcDateTime

revision: str = "202611240001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name=op.f("ck_api_tokens_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
    )
    op.create_table(
        "operator_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("token_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_audit")),
    )
    op.create_index("ix_operator_audit_at", "operator_audit", ["at"], unique=False)
    op.create_table(
        "spec_workflow_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("repository", sa.String(length=200), nullable=False),
        sa.Column("feature", sa.String(length=400), nullable=False),
        sa.Column("feature_key", sa.String(length=400), nullable=True),
        sa.Column("feature_dir", sa.String(length=400), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("current_task_name", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("event_seq", sa.Integer(), nullable=False),
        sa.Column("cancel_requested_at", UtcDateTime(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("publish_intent_at", UtcDateTime(), nullable=True),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("wanted_phase", sa.String(length=400), nullable=True),
        sa.Column("wanted_task_ids", sa.JSON(), nullable=False),
        sa.Column("agent", sa.String(length=32), nullable=False),
        sa.Column("base_branch", sa.String(length=250), nullable=True),
        sa.Column("base_sha", sa.String(length=64), nullable=True),
        sa.Column("branch_name", sa.String(length=250), nullable=True),
        sa.Column("commit_sha", sa.String(length=64), nullable=True),
        sa.Column("pr_url", sa.Text(), nullable=True),
        sa.Column("pr_number", sa.Integer(), nullable=True),
        sa.Column("codex_task_id", sa.String(length=200), nullable=True),
        sa.Column("codex_task_url", sa.Text(), nullable=True),
        sa.Column("codex_queue", sa.String(length=100), nullable=False),
        sa.Column("publish_queue", sa.String(length=100), nullable=False),
        sa.Column("celery_chain_id", sa.String(length=64), nullable=True),
        sa.Column("artifact_store_id", sa.String(length=64), nullable=True),
        sa.Column("artifacts_path", sa.Text(), nullable=False),
        sa.Column("codex_logs_path", sa.Text(), nullable=True),
        sa.Column("codex_patch_path", sa.Text(), nullable=True),
        sa.Column("phase_title", sa.Text(), nullable=True),
        sa.Column("phase_line", sa.Integer(), nullable=True),
        sa.Column("phase_task_ids", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("failure_code", sa.String(length=64), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("failure_remedy", sa.Text(), nullable=True),
        sa.Column("failure_stage", sa.String(length=16), nullable=True),
        sa.Column("summary_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('pull_request_created', 'pull_request_updated', 'pull_request_merged', 'all_done', 'held', 'phase_in_flight')",
            name=op.f("ck_spec_workflow_runs_outcome"),
        ),
        sa.CheckConstraint(
            "phase IN ('discover', 'submit', 'apply', 'publish', 'finalize', 'complete')",
            name=op.f("ck_spec_workflow_runs_phase"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'retrying', 'succeeded', 'failed', 'no_work', 'cancelled')",
            name=op.f("ck_spec_workflow_runs_status"),
        ),
        sa.CheckConstraint("repository = lower(repository)", name=op.f("ck_spec_workflow_runs_repository_lower")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spec_workflow_runs")),
    )
    op.create_index("ix_spec_workflow_runs_newest", "spec_workflow_runs", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_spec_workflow_runs_repository_newest",
        "spec_workflow_runs",
        ["repository", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_spec_workflow_runs_status_newest", "spec_workflow_runs", ["status", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_spec_workflow_runs_without_summary",
        "spec_workflow_runs",
        ["id"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NOT NULL AND summary_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL AND summary_at IS NULL"),
    )
    op.create_index(
        "uq_spec_workflow_runs_active_feature",
        "spec_workflow_runs",
        ["repository", "feature"],
        unique=True,
        sqlite_where=sa.text("status IN ('pending', 'retrying', 'running')"),
        postgresql_where=sa.text("status IN ('pending', 'retrying', 'running')"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_idempotency_keys_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("token_id", "key", name=op.f("uq_idempotency_keys_token_id_key")),
    )
    op.create_table(
        "pushed_refs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("repository", sa.String(length=200), nullable=False),
        sa.Column("branch", sa.String(length=250), nullable=False),
        sa.Column("commit_sha", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_pushed_refs_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pushed_refs")),
        sa.UniqueConstraint(
            "repository", "branch", "commit_sha", name=op.f("uq_pushed_refs_repository_branch_commit_sha")
        ),
    )
    op.create_table(
        "spec_workflow_task_states",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("task_name", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("deadline", UtcDateTime(), nullable=True),
        sa.Column("next_poll_at", UtcDateTime(), nullable=True),
        sa.Column("waiting_for", sa.String(length=32), nullable=True),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("dispatches", sa.Integer(), nullable=False),
        sa.Column("next_dispatch_at", UtcDateTime(), nullable=True),
        sa.Column("sent_by", sa.String(length=64), nullable=True),
        sa.Column("celery_task_id", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "(status = 'running') = (lease_until IS NOT NULL)", name=op.f("ck_spec_workflow_task_states_lease")
        ),
        sa.CheckConstraint(
            "(status = 'waiting') = (next_poll_at IS NOT NULL)", name=op.f("ck_spec_workflow_task_states_poll")
        ),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'failed', 'skipped')) = (finished_at IS NOT NULL)",
            name=op.f("ck_spec_workflow_task_states_finished"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'skipped')",
            name=op.f("ck_spec_workflow_task_states_status"),
        ),
        sa.CheckConstraint(
            "task_name IN ('discover', 'submit', 'apply', 'publish', 'finalize')",
            name=op.f("ck_spec_workflow_task_states_task_name"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_spec_workflow_task_states_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spec_workflow_task_states")),
        sa.UniqueConstraint(
            "run_id", "task_name", "attempt", name=op.f("uq_spec_workflow_task_states_run_id_task_name_attempt")
        ),
    )
    op.create_index(
        "ix_spec_workflow_task_states_dispatch",
        "spec_workflow_task_states",
        ["next_dispatch_at"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_spec_workflow_task_states_lease",
        "spec_workflow_task_states",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "ix_spec_workflow_task_states_poll",
        "spec_workflow_task_states",
        ["next_poll_at"],
        unique=False,
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "web_sessions",
        sa.Column("cookie_sha256", sa.String(length=64), nullable=False),
        sa.Column("token_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["api_tokens.id"], name=op.f("fk_web_sessions_token_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cookie_sha256", name=op.f("pk_web_sessions")),
    )
    op.create_table(
        "workflow_artifacts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("artifact_type", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("store_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_workflow_artifacts_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_artifacts")),
        sa.UniqueConstraint(
            "run_id",
            "artifact_type",
            "attempt",
            "name",
            name=op.f("uq_workflow_artifacts_run_id_artifact_type_attempt_name"),
        ),
    )
    op.create_table(
        "workflow_credential_audits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("last_four", sa.String(length=4), nullable=True),
        sa.Column("login", sa.String(length=200), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("checked_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status <> 'failed' OR message <> ''", name=op.f("ck_workflow_credential_audits_failed_has_message")
        ),
        sa.CheckConstraint(
            "status IN ('passed', 'failed', 'skipped')", name=op.f("ck_workflow_credential_audits_status")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_workflow_credential_audits_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_credential_audits")),
    )
    op.create_index(
        "ix_workflow_credential_audits_run", "workflow_credential_audits", ["run_id", "checked_at"], unique=False
    )
    op.create_index(
        "ix_workflow_credential_audits_subject", "workflow_credential_audits", ["subject", "checked_at"], unique=False
    )
    op.create_table(
        "workflow_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("type IN ('run', 'stage', 'artifact', 'log')", name=op.f("ck_workflow_events_type")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_workflow_events_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_events")),
        sa.UniqueConstraint("run_id", "seq", name=op.f("uq_workflow_events_run_id_seq")),
    )
    op.create_table(
        "workflow_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("from_stage", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("leased_by", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "from_stage IN ('discover', 'submit', 'apply', 'publish', 'finalize')",
            name=op.f("ck_workflow_outbox_from_stage"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_workflow_outbox_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_outbox")),
    )
    op.create_index("ix_workflow_outbox_run", "workflow_outbox", ["run_id"], unique=False)
    op.create_index(
        "ix_workflow_outbox_unsent",
        "workflow_outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "agent_submissions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("stage_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("agent", sa.String(length=32), nullable=False),
        sa.Column("marker", sa.String(length=100), nullable=False),
        sa.Column("base_sha", sa.String(length=64), nullable=False),
        sa.Column("workspace_key", sa.String(length=100), nullable=False),
        sa.Column("host", sa.String(length=200), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("thread_id", sa.String(length=200), nullable=True),
        sa.Column("task_id", sa.String(length=200), nullable=True),
        sa.Column("task_url", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "state IN ('intended', 'started', 'finished', 'abandoned')", name=op.f("ck_agent_submissions_state")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["spec_workflow_runs.id"], name=op.f("fk_agent_submissions_run_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"],
            ["spec_workflow_task_states.id"],
            name=op.f("fk_agent_submissions_stage_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_submissions")),
        sa.UniqueConstraint("marker", name=op.f("uq_agent_submissions_marker")),
    )
    op.create_index("ix_agent_submissions_run", "agent_submissions", ["run_id"], unique=False)
    op.create_index(
        "uq_agent_submissions_live",
        "agent_submissions",
        ["stage_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('intended', 'started')"),
        postgresql_where=sa.text("state IN ('intended', 'started')"),
    )


def downgrade() -> None:
    """Drop all tables."""
    op.drop_index(
        "uq_agent_submissions_live",
        table_name="agent_submissions",
        sqlite_where=sa.text("state IN ('intended', 'started')"),
        postgresql_where=sa.text("state IN ('intended', 'started')"),
    )
    op.drop_index("ix_agent_submissions_run", table_name="agent_submissions")
    op.drop_table("agent_submissions")
    op.drop_index(
        "ix_workflow_outbox_unsent",
        table_name="workflow_outbox",
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.drop_index("ix_workflow_outbox_run", table_name="workflow_outbox")
    op.drop_table("workflow_outbox")
    op.drop_table("workflow_events")
    op.drop_index("ix_workflow_credential_audits_subject", table_name="workflow_credential_audits")
    op.drop_index("ix_workflow_credential_audits_run", table_name="workflow_credential_audits")
    op.drop_table("workflow_credential_audits")
    op.drop_table("workflow_artifacts")
    op.drop_table("web_sessions")
    op.drop_index(
        "ix_spec_workflow_task_states_poll",
        table_name="spec_workflow_task_states",
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.drop_index(
        "ix_spec_workflow_task_states_lease",
        table_name="spec_workflow_task_states",
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.drop_index(
        "ix_spec_workflow_task_states_dispatch",
        table_name="spec_workflow_task_states",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_table("spec_workflow_task_states")
    op.drop_table("pushed_refs")
    op.drop_table("idempotency_keys")
    op.drop_table("workers")
    op.drop_index(
        "uq_spec_workflow_runs_active_feature",
        table_name="spec_workflow_runs",
        sqlite_where=sa.text("status IN ('pending', 'retrying', 'running')"),
        postgresql_where=sa.text("status IN ('pending', 'retrying', 'running')"),
    )
    op.drop_index(
        "ix_spec_workflow_runs_without_summary",
        table_name="spec_workflow_runs",
        sqlite_where=sa.text("finished_at IS NOT NULL AND summary_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL AND summary_at IS NULL"),
    )
    op.drop_index("ix_spec_workflow_runs_status_newest", table_name="spec_workflow_runs")
    op.drop_index("ix_spec_workflow_runs_repository_newest", table_name="spec_workflow_runs")
    op.drop_index("ix_spec_workflow_runs_newest", table_name="spec_workflow_runs")
    op.drop_table("spec_workflow_runs")
    op.drop_index("ix_operator_audit_at", table_name="operator_audit")
    op.drop_table("operator_audit")
    op.drop_table("api_tokens")
