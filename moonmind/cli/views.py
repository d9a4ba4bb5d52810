"""Turn the service's JSON into frozen values that are safe to print, whatever the service sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from moonmind.cli.harmless import harmless
from moonmind.cli.json_values import Document, documents, mapping, number, raw_text, sequence, text
from moonmind.cli.stage_words import stage_words
from moonmind.cli.times import parse_time
from moonmind.domain.states import ACTIVE_RUN_STATUSES, STAGES, Stage, StageStatus

# Ids begin with the time in milliseconds: eight digits, a dash and four more are all of it.
_SHORT_ID = 13
_SHORT_DIGEST = len("sha256:") + 12


@dataclass(frozen=True)
class StageView:
    """The latest attempt at one stage; `status` is empty when it was never queued."""

    name: str
    status: str = ""
    attempt: int = 0
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_poll_at: datetime | None = None

    def took(self, now: datetime) -> timedelta | None:
        """How long it ran, or has been running until now."""
        return (self.finished_at or now) - self.started_at if self.started_at else None


@dataclass(frozen=True)
class FailureView:
    """Why a run failed and what to do about it."""

    code: str
    message: str
    remedy: str
    stage: str
    runbook_url: str


@dataclass(frozen=True)
class RunView:
    """A run as people read it."""

    id: str
    repository: str
    feature: str
    status: str
    outcome: str
    phase_title: str
    task_ids: tuple[str, ...]
    agent: str
    agent_task_url: str
    base_branch: str
    base_sha: str
    branch: str
    commit_sha: str
    pr_url: str
    pr_number: int
    requested_by: str
    notes: str
    attempt: int
    input_tokens: int
    output_tokens: int
    failure: FailureView | None
    cancel_requested_at: datetime | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    stages: tuple[StageView, ...]

    @property
    def short_id(self) -> str:
        """The beginning of the id that is enough to name the run."""
        return self.id[:_SHORT_ID]

    @property
    def is_active(self) -> bool:
        """True while the run may still change; an unknown status counts as an end, so that nobody waits for ever."""
        return self.status in ACTIVE_RUN_STATUSES

    @property
    def agent_works(self) -> bool:
        """True while the agent is at work, so that its log grows."""
        return any(stage.name == Stage.SUBMIT and stage.status == StageStatus.RUNNING for stage in self.stages)

    def took(self, now: datetime) -> timedelta | None:
        """How long it ran, or has been running until now."""
        begin = self.started_at or self.created_at
        return (self.finished_at or now) - begin if begin else None


@dataclass(frozen=True)
class ArtifactView:
    """One stored file of a run; `id` and `digest` are as sent, for use in requests and comparisons."""

    id: str
    artifact_type: str
    name: str
    content_type: str
    size_bytes: int
    digest: str
    attempt: int
    created_at: datetime | None

    @property
    def short_digest(self) -> str:
        """The beginning of the digest, for people to compare."""
        return harmless(self.digest[:_SHORT_DIGEST])


def run_view(document: Document) -> RunView:
    """Read a run; unknown fields are ignored and wrong ones are empty."""
    phase = mapping(document.get("selectedPhase"))
    usage = mapping(document.get("usage"))
    failure = mapping(document.get("failure"))
    return RunView(
        id=text(document.get("id")),
        repository=text(document.get("repository")),
        feature=text(document.get("featureKey")),
        status=text(document.get("status")),
        outcome=text(document.get("outcome")),
        phase_title=text(phase.get("title")),
        task_ids=tuple(filter(None, map(text, sequence(phase.get("taskIds"))))),
        agent=text(document.get("agent")),
        agent_task_url=text(document.get("codexTaskUrl")),
        base_branch=text(document.get("baseBranch")),
        base_sha=text(document.get("baseSha")),
        branch=text(document.get("branchName")),
        commit_sha=text(document.get("commitSha")),
        pr_url=text(document.get("prUrl")),
        pr_number=number(document.get("prNumber")),
        requested_by=text(document.get("requestedBy")),
        notes=text(document.get("notes")),
        attempt=number(document.get("attempt")),
        input_tokens=number(usage.get("inputTokens")),
        output_tokens=number(usage.get("outputTokens")),
        failure=_failure_view(failure) if failure else None,
        cancel_requested_at=parse_time(document.get("cancelRequestedAt")),
        created_at=parse_time(document.get("createdAt")),
        started_at=parse_time(document.get("startedAt")),
        finished_at=parse_time(document.get("finishedAt")),
        stages=_latest_stages(document),
    )


def artifact_view(document: Document) -> ArtifactView:
    """Read an artifact; one without a name is called by the last part of its path."""
    return ArtifactView(
        id=raw_text(document.get("id")),
        artifact_type=text(document.get("artifactType")),
        name=text(document.get("name")) or PurePosixPath(text(document.get("path"))).name,
        content_type=text(document.get("contentType")),
        size_bytes=number(document.get("sizeBytes")),
        digest=raw_text(document.get("digest")),
        attempt=number(document.get("attempt")),
        created_at=parse_time(document.get("createdAt")),
    )


def _failure_view(failure: Document) -> FailureView:
    return FailureView(
        code=text(failure.get("code")),
        message=text(failure.get("message")),
        remedy=text(failure.get("remedy")),
        stage=text(failure.get("stage")),
        runbook_url=text(failure.get("runbookUrl")),
    )


def _latest_stages(document: Document) -> tuple[StageView, ...]:
    rows = documents(document.get("tasks")) or documents(document.get("taskSummary"))
    latest: dict[str, StageView] = {}
    for row in map(_stage_view, rows):
        if row.name not in latest or row.attempt >= latest[row.name].attempt:
            latest[row.name] = row
    return tuple(latest.get(stage, StageView(stage)) for stage in STAGES)


def _stage_view(row: Document) -> StageView:
    name = text(row.get("taskName"))
    return StageView(
        name=name,
        status=text(row.get("status")),
        attempt=number(row.get("attempt")),
        message=text(row.get("message")) or stage_words(name, mapping(row.get("payload"))),
        started_at=parse_time(row.get("startedAt")),
        finished_at=parse_time(row.get("finishedAt")),
        next_poll_at=parse_time(row.get("nextPollAt")),
    )
