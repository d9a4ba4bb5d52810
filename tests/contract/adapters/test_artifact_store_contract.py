"""Hold the artifact store on disk and the one in memory to the same promises."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import ArtifactFolder, ArtifactStore
from moonmind.domain.results import StoredArtifact
from moonmind.domain.states import Stage
from moonmind.testing.artifacts import InMemoryArtifactStore
from moonmind.workflows.speckit_celery.storage import FileArtifactStore

FOLDER = ArtifactFolder(UUID(int=7), Stage.SUBMIT, attempt=2, token=5)
SUCCESSOR = replace(FOLDER, token=6)


@dataclass(frozen=True)
class Bench:
    """A store, and ways to spoil its files behind its back."""

    store: ArtifactStore
    lose: Callable[[StoredArtifact], None]
    damage: Callable[[StoredArtifact, bytes], object]


def in_memory(root: Path) -> Bench:
    store = InMemoryArtifactStore(root)
    return Bench(store, store.lose, store.damage)


def on_disk(root: Path) -> Bench:
    return Bench(
        FileArtifactStore(root),
        lambda artifact: (root / artifact.path).unlink(),
        lambda artifact, content: (root / artifact.path).write_bytes(content),
    )


@pytest.fixture(params=[in_memory, on_disk])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    made: Bench = request.param(tmp_path / "store")
    return made


@pytest.fixture
def store(bench: Bench) -> ArtifactStore:
    return bench.store


class TestPut:
    def test_gives_the_bytes_back(self, store: ArtifactStore) -> None:
        assert store.read(store.put(FOLDER, "codex_patch", "codex.patch", b"\x00diff\n")) == b"\x00diff\n"

    def test_tells_all_that_a_row_needs(self, store: ArtifactStore) -> None:
        stored = store.put(FOLDER, "discovery_snapshot", "discovery.json", b"{}")
        assert stored == StoredArtifact(
            artifact_type="discovery_snapshot",
            name="discovery.json",
            path=f"{FOLDER.run_id}/a2-submit-t5/discovery.json",
            content_type="application/json",
            size_bytes=2,
            sha256=hashlib.sha256(b"{}").hexdigest(),
            store_id=store.store_id,
        )

    def test_the_ending_tells_the_content_type_where_the_type_has_several(self, store: ArtifactStore) -> None:
        kinds = [store.put(FOLDER, "apply_output", name, b"").content_type for name in ("a.json", "final.patch", "log")]
        assert kinds == ["application/json", "text/x-diff; charset=utf-8", "text/plain; charset=utf-8"]

    def test_the_same_again_is_the_same_artifact(self, store: ArtifactStore) -> None:
        assert store.put(FOLDER, "prompt", "prompt.md", b"x") == store.put(FOLDER, "prompt", "prompt.md", b"x")

    def test_other_bytes_under_the_name_are_refused(self, store: ArtifactStore) -> None:
        first = store.put(FOLDER, "prompt", "prompt.md", b"first")
        with pytest.raises(WorkflowError) as refusal:
            store.put(FOLDER, "prompt", "prompt.md", b"second")
        assert refusal.value.code is FailureCode.ARTIFACT_DIGEST_MISMATCH
        assert store.read(first) == b"first"

    def test_a_lost_claim_and_its_successor_do_not_meet(self, store: ArtifactStore) -> None:
        zombie = store.put(FOLDER, "prompt", "prompt.md", b"zombie")
        successor = store.put(SUCCESSOR, "prompt", "prompt.md", b"successor")
        assert (store.read(zombie), store.read(successor)) == (b"zombie", b"successor")

    @pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\0", "a\n", "ä", "x" * 200])
    def test_only_plain_names_are_taken(self, store: ArtifactStore, name: str) -> None:
        with pytest.raises(ValueError, match="not a name"):
            store.put(FOLDER, "prompt", name, b"")
        with pytest.raises(ValueError, match="not a name"):
            store.live_path(FOLDER, name)


class TestSeal:
    def test_makes_an_artifact_of_what_was_streamed(self, store: ArtifactStore) -> None:
        store.live_path(FOLDER, "codex_logs.jsonl").write_bytes(b'{"a":1}\n')
        stored = store.seal(FOLDER, "codex_logs", "codex_logs.jsonl")
        assert store.read(stored) == b'{"a":1}\n'
        assert stored.content_type == "application/x-ndjson"

    def test_again_is_the_same_artifact(self, store: ArtifactStore) -> None:
        store.live_path(FOLDER, "log.txt").write_bytes(b"words")
        assert store.seal(FOLDER, "codex_logs", "log.txt") == store.seal(FOLDER, "codex_logs", "log.txt")

    def test_what_a_writer_adds_later_does_not_reach_it(self, store: ArtifactStore) -> None:
        with store.live_path(FOLDER, "log.txt").open("wb") as writer:
            writer.write(b"in time")
            writer.flush()
            stored = store.seal(FOLDER, "codex_logs", "log.txt")
            writer.write(b" too late")
        assert store.read(stored) == b"in time"

    def test_of_nothing_says_that_it_is_missing(self, store: ArtifactStore) -> None:
        with pytest.raises(WorkflowError) as refusal:
            store.seal(FOLDER, "codex_logs", "log.txt")
        assert refusal.value.code is FailureCode.ARTIFACT_MISSING


class TestRead:
    def test_a_removed_file_is_missing(self, bench: Bench) -> None:
        stored = bench.store.put(FOLDER, "prompt", "prompt.md", b"words")
        bench.lose(stored)
        with pytest.raises(WorkflowError) as refusal:
            bench.store.read(stored)
        assert refusal.value.code is FailureCode.ARTIFACT_MISSING

    @pytest.mark.parametrize("changed", [b"wordz", b"", b"words and more"])
    def test_a_changed_file_is_not_handed_out(self, bench: Bench, changed: bytes) -> None:
        stored = bench.store.put(FOLDER, "prompt", "prompt.md", b"words")
        bench.damage(stored, changed)
        with pytest.raises(WorkflowError) as refusal:
            bench.store.read(stored)
        assert refusal.value.code is FailureCode.ARTIFACT_DIGEST_MISMATCH

    @pytest.mark.parametrize("path", ["", "/etc/passwd", "../secret", "a/../../secret", "a//b", "a/\0", "store.id/x"])
    def test_a_path_that_is_none_of_ours_is_missing(self, store: ArtifactStore, path: str) -> None:
        stored = store.put(FOLDER, "prompt", "prompt.md", b"words")
        with pytest.raises(WorkflowError) as refusal:
            store.read(replace(stored, path=path))
        assert refusal.value.code is FailureCode.ARTIFACT_MISSING


def test_the_id_of_a_store_stays(store: ArtifactStore) -> None:
    assert store.store_id == store.store_id
