"""
Name the few columns of the database that a proof reads.

These are not the service's models: a proof is to notice when what is stored changes its meaning.
"""

from sqlalchemy import JSON, Integer, String, Uuid, column, table

from api_service.db.types import UtcDateTime

RUNS = table(
    "spec_workflow_runs",
    column("id", Uuid()),
    column("repository", String()),
    column("feature_key", String()),
    column("status", String()),
    column("epoch", Integer()),
    column("failure_code", String()),
    column("failure_message", String()),
    column("branch_name", String()),
    column("commit_sha", String()),
    column("pr_number", Integer()),
)
STAGES = table(
    "spec_workflow_task_states",
    column("id", Uuid()),
    column("run_id", Uuid()),
    column("task_name", String()),
    column("position", Integer()),
    column("attempt", Integer()),
    column("status", String()),
    column("token", Integer()),
    column("owner", String()),
    column("crashes", Integer()),
    column("lease_until", UtcDateTime()),
    column("next_dispatch_at", UtcDateTime()),
    column("result", JSON()),
)
EVENTS = table(
    "workflow_events",
    column("run_id", Uuid()),
    column("seq", Integer()),
    column("type", String()),
    column("stage", String()),
    column("attempt", Integer()),
    column("status", String()),
    column("at", UtcDateTime()),
)
ARTIFACTS = table(
    "workflow_artifacts",
    column("run_id", Uuid()),
    column("attempt", Integer()),
    column("path", String()),
)
OUTBOX = table(
    "workflow_outbox",
    column("id", Integer()),
    column("run_id", Uuid()),
    column("from_stage", String()),
    column("epoch", Integer()),
    column("attempts", Integer()),
    column("leased_until", UtcDateTime()),
    column("created_at", UtcDateTime()),
    column("sent_at", UtcDateTime()),
)
PUSHED = table(
    "pushed_refs",
    column("run_id", Uuid()),
    column("branch", String()),
    column("commit_sha", String()),
)
