"""Describe what surrounds a stage: artifacts, credentials, the effect guard, measurements."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from moonmind.domain.ports.agent import AgentHandle
from moonmind.domain.ports.forge import Checked
from moonmind.domain.results import StoredArtifact
from moonmind.domain.states import Stage


class ArtifactStore(Protocol):
    """Files of runs; a name is never written twice with other bytes by the same claim."""

    @property
    def store_id(self) -> str:
        """Which store this is; a run stays with its store."""

    def put(self, folder: "ArtifactFolder", artifact_type: str, name: str, content: bytes) -> StoredArtifact:
        """Write, sync and rename one file. Raises `artifact_store_unavailable`."""

    def live_path(self, folder: "ArtifactFolder", name: str) -> Path:
        """Return a path to stream to; `seal` makes an artifact of it."""

    def seal(self, folder: "ArtifactFolder", artifact_type: str, name: str) -> StoredArtifact:
        """Sync the streamed file and record its digest; after it the file does not change."""

    def read(self, artifact: StoredArtifact) -> bytes:
        """Return the bytes; raises `artifact_missing` or `artifact_digest_mismatch`."""


@dataclass(frozen=True)
class ArtifactFolder:
    """Where one claim of one stage writes: a zombie and its successor never share a folder."""

    run_id: UUID
    stage: Stage
    attempt: int
    token: int


class StageArtifacts(Protocol):
    """The artifact store as one claim sees it; whatever it stored is recorded with the outcome."""

    def put(self, artifact_type: str, name: str, content: bytes) -> StoredArtifact:
        """Store one file. Raises `artifact_store_unavailable`."""

    def live_path(self, name: str) -> Path:
        """Return a path to stream to while the stage works."""

    def seal(self, artifact_type: str, name: str) -> StoredArtifact:
        """Make an artifact of the streamed file."""

    def read(self, artifact: StoredArtifact) -> bytes:
        """Return an earlier artifact's bytes; raises `artifact_missing` or `artifact_digest_mismatch`."""


class CredentialsGate(Protocol):
    """Checks credentials and keeps every verdict as an audit row."""

    def require(self, *subjects: Checked) -> None:
        """Check each; raises `agent_unavailable` or `forge_unavailable` with the verdict's words."""


@dataclass(frozen=True)
class PushIntent:
    """A push that is about to happen; recorded first, so that the commit is known as ours."""

    branch: str
    commit_sha: str


@dataclass(frozen=True)
class PullRequestIntent:
    """A pull request that is about to be created or updated."""

    branch: str


@dataclass(frozen=True)
class SubmissionIntent:
    """A submission that is about to happen, under the marker that finds it again."""

    agent: str
    marker: str
    base_sha: str
    workspace_key: str


Intent = PushIntent | PullRequestIntent | SubmissionIntent


class EffectGuard(Protocol):
    """Stands before every effect outside the database."""

    def begin(self, intent: Intent) -> None:
        """
        Record the intent, then make sure once more that the stage is still ours.

        Raises `StaleClaimError`, or `CancelRecordedError` unless publishing had begun already.
        """

    def started(self, marker: str, handle: AgentHandle) -> None:
        """Store where a submission runs."""


class Metrics(Protocol):
    """Counts and times; never blocks and never raises."""

    def stage_started(self, stage: Stage, attempt: int) -> None:
        """Count a start."""

    def stage_ended(self, stage: Stage, attempt: int, *, status: str, seconds: float) -> None:
        """Count the end and record the duration."""

    def stage_retried(self, stage: Stage, attempt: int) -> None:
        """Count a retry."""

    def message_refused(self, reason: str) -> None:
        """Count a message that nobody could understand; the reason is one of few words of ours."""
