"""Define the JSON that goes in and out; every model refuses unknown fields."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from moonmind.domain.states import RetryMode, RunStatus

_REPOSITORY = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
_NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"
Line = Annotated[str, StringConstraints(pattern=_NO_CONTROL, min_length=1, max_length=400, strip_whitespace=True)]
BranchName = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]*$", max_length=250)
]


# PostgreSQL takes no NUL in a text, and nothing means anything by one.
Notes = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00]*$")]


class Model(BaseModel):
    """The base: camelCase outside, snake_case inside, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, from_attributes=True
    )


class RunCreate(Model):
    """An order for the next phase of a feature, or for a part of one."""

    repository: Annotated[str, StringConstraints(pattern=_REPOSITORY)] = Field(examples=["octo/habits"])
    feature_key: Line | None = Field(None, examples=["001-habit-streaks"])
    selected_phase: Line | None = Field(None, description="A phase by its title, number or heading line.")
    task_ids: Annotated[list[Line], Field(max_length=200)] | None = Field(None, examples=[["T012", "T013"]])
    base_branch: BranchName | None = None
    agent: Line | None = None
    notes: Notes | None = Field(None, description="Words for the agent; they become part of its prompt.")

    @field_validator("repository", "feature_key", "base_branch")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        if value is not None and ".." in value:
            message = "must not contain '..'"
            raise ValueError(message)
        return value

    @field_validator("repository")
    @classmethod
    def _is_no_git_folder(cls, value: str) -> str:
        if value.lower().endswith((".git", ".lock")):
            message = "is OWNER/NAME without '.git'"
            raise ValueError(message)
        return value


class RunRetry(Model):
    """How to go on with a run that ended."""

    mode: RetryMode = RetryMode.RESUME
    notes: Notes | None = None


class RunCancel(Model):
    """Why a run is cancelled."""

    reason: Notes | None = None


class RunQuery(Model):
    """Which runs to list."""

    status: list[RunStatus] = []
    repository: Line | None = None
    feature_key: Line | None = None
    requested_by: Line | None = None
    created_after: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 25
    cursor: str | None = None
    include_tasks: bool = False


class RunParts(Model):
    """Which parts of a run to show."""

    include_tasks: bool = True
    include_artifacts: bool = True
    include_credential_audit: bool = True


class SelectedPhase(Model):
    """The phase a run works on."""

    title: str
    line: int
    task_ids: list[str]


class FailureRead(Model):
    """Why a run failed and what to do."""

    code: str
    message: str
    remedy: str
    stage: str | None
    runbook_url: str


class TaskRead(Model):
    """One attempt at one stage."""

    id: UUID
    task_name: str
    status: str
    attempt: int
    payload: dict[str, Any]
    message: str | None
    artifact_paths: list[str]
    retry_count: int
    started_at: datetime | None
    finished_at: datetime | None
    next_poll_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TaskSummary(Model):
    """The newest attempt of a stage, in short."""

    task_name: str
    status: str
    attempt: int


class ArtifactRead(Model):
    """A stored file and where to get it."""

    id: UUID
    artifact_type: str
    name: str
    path: str
    content_type: str
    size_bytes: int
    digest: str
    attempt: int
    created_at: datetime
    download_url: str


class CredentialAuditRead(Model):
    """One credential check."""

    id: UUID
    subject: str
    status: str
    kind: str
    last_four: str | None
    login: str | None
    scopes: list[str]
    expires_at: datetime | None
    message: str
    remedy: str
    environment: dict[str, Any]
    checked_at: datetime


class RunRead(Model):
    """A run with everything an operator may ask of it."""

    id: UUID
    repository: str
    feature_key: str | None
    feature_dir: str | None
    status: str
    outcome: str | None
    phase: str
    current_task_name: str | None
    cancel_requested_at: datetime | None
    requested_by: str
    notes: str | None
    agent: str
    base_branch: str | None
    base_sha: str | None
    branch_name: str | None
    commit_sha: str | None
    pr_url: str | None
    pr_number: int | None
    codex_task_id: str | None
    codex_task_url: str | None
    codex_queue: str
    celery_chain_id: str | None
    attempt: int
    epoch: int
    artifacts_path: str
    codex_logs_path: str | None
    codex_patch_path: str | None
    selected_phase: SelectedPhase | None
    usage: dict[str, int] | None
    failure: FailureRead | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tasks: list[TaskRead]
    task_summary: list[TaskSummary]
    artifacts: list[ArtifactRead]
    credential_audit: list[CredentialAuditRead]


class RunPage(Model):
    """Runs, newest first, and how to go on."""

    items: list[RunRead]
    next_cursor: str | None


class TaskList(Model):
    """All attempts of all stages of a run, in order."""

    run_id: UUID
    tasks: list[TaskRead]


class ArtifactList(Model):
    """All artifacts of a run."""

    run_id: UUID
    artifacts: list[ArtifactRead]


class Problem(BaseModel):
    """An RFC 9457 problem: what happened, and what to do."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    run_id: UUID | None = None
    errors: list[dict[str, Any]] | None = None
