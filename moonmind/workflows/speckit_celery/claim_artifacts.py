"""Give a claim its own folder in the artifact store and remember what it wrote there."""

from pathlib import Path

from moonmind.domain.claims import ClaimedStage
from moonmind.domain.ports import ArtifactFolder, ArtifactStore
from moonmind.domain.results import StoredArtifact


class ClaimArtifacts:
    """
    The artifacts of one claim.

    The folder's name has the claim's token in it, so a worker that lost its lease can never
    write into its successor's files; its own are then orphans without a row.
    """

    def __init__(self, store: ArtifactStore, claimed: ClaimedStage) -> None:
        self._store = store
        self._folder = ArtifactFolder(claimed.run_id, claimed.stage, claimed.attempt, claimed.token)
        self._recorded: dict[tuple[str, str], StoredArtifact] = {}

    @property
    def recorded(self) -> tuple[StoredArtifact, ...]:
        """What was stored by this claim so far."""
        return tuple(self._recorded.values())

    def put(self, artifact_type: str, name: str, content: bytes) -> StoredArtifact:
        """Store one file; see `StageArtifacts`."""
        return self._remember(self._store.put(self._folder, artifact_type, name, content))

    def live_path(self, name: str) -> Path:
        """Return a path to stream to; see `StageArtifacts`."""
        return self._store.live_path(self._folder, name)

    def seal(self, artifact_type: str, name: str) -> StoredArtifact:
        """Make an artifact of the streamed file; see `StageArtifacts`."""
        return self._remember(self._store.seal(self._folder, artifact_type, name))

    def read(self, artifact: StoredArtifact) -> bytes:
        """Return an earlier artifact's bytes; see `StageArtifacts`."""
        return self._store.read(artifact)

    def _remember(self, stored: StoredArtifact) -> StoredArtifact:
        self._recorded[stored.artifact_type, stored.name] = stored
        return stored
