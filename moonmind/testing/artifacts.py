"""Keep artifacts in memory, and refuse what the store on disk refuses."""

import hashlib
from pathlib import Path

from moonmind.domain.artifacts import checked_name, content_type, folder_names
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ids import new_id
from moonmind.domain.ports import ArtifactFolder
from moonmind.domain.results import StoredArtifact


class InMemoryArtifactStore:
    """
    An artifact store that ends with its object; only live files are on disk, in the folder it is given.

    `unavailable` makes every write fail as on a full disk; `lose` and `damage` do what people and
    disks do to files.
    """

    def __init__(self, live: Path) -> None:
        self._contents: dict[str, bytes] = {}
        self._id = str(new_id())
        self._live = live
        self.unavailable = False

    @property
    def store_id(self) -> str:
        """Which store this is."""
        return self._id

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of everything that was stored, in order."""
        return tuple(self._contents)

    def put(self, folder: ArtifactFolder, artifact_type: str, name: str, content: bytes) -> StoredArtifact:
        """Keep one file; the same again is fine, other bytes under the name are refused."""
        self._refuse_when_unavailable()
        stored = self._stored(folder, artifact_type, checked_name(name), content)
        if self._contents.setdefault(stored.path, content) != content:
            detail = f"{stored.path} is there already, with other bytes."
            raise WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, detail)
        return stored

    def live_path(self, folder: ArtifactFolder, name: str) -> Path:
        """Return a path to stream to."""
        self._refuse_when_unavailable()
        path = self._live.joinpath(*folder_names(folder), checked_name(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def seal(self, folder: ArtifactFolder, artifact_type: str, name: str) -> StoredArtifact:
        """Make an artifact of the streamed file; sealing again returns the same."""
        live = self.live_path(folder, name)
        sealed = self._contents.get("/".join((*folder_names(folder), name)))
        if sealed is None and not live.is_file():
            raise _missing(live.name)
        content = live.read_bytes() if sealed is None else sealed
        live.unlink(missing_ok=True)
        return self.put(folder, artifact_type, name, content)

    def read(self, artifact: StoredArtifact) -> bytes:
        """Return the bytes; raises `artifact_missing` or `artifact_digest_mismatch`."""
        content = self._contents.get(artifact.path)
        if content is None:
            raise _missing(artifact.path)
        if hashlib.sha256(content).hexdigest() != artifact.sha256 or len(content) != artifact.size_bytes:
            raise WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, f"{artifact.path} is not what was stored.")
        return content

    def lose(self, artifact: StoredArtifact) -> None:
        """Remove the file of an artifact behind the store's back."""
        del self._contents[artifact.path]

    def damage(self, artifact: StoredArtifact, content: bytes) -> None:
        """Change the file of an artifact behind the store's back."""
        self._contents = {**self._contents, artifact.path: content}

    def _refuse_when_unavailable(self) -> None:
        if self.unavailable:
            detail = "Could not write to the artifact store in memory: the disk is full."
            raise WorkflowError(FailureCode.ARTIFACT_STORE_UNAVAILABLE, detail)

    def _stored(self, folder: ArtifactFolder, artifact_type: str, name: str, content: bytes) -> StoredArtifact:
        path = "/".join((*folder_names(folder), name))
        digest = hashlib.sha256(content).hexdigest()
        kind = content_type(artifact_type, name)
        return StoredArtifact(artifact_type, name, path, kind, len(content), digest, self._id)


def _missing(path: str) -> WorkflowError:
    return WorkflowError(FailureCode.ARTIFACT_MISSING, f"{path} is not in the artifact store.")
