"""The artifact store on disk against full disks, planted links, racing processes and secrets."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import ArtifactFolder
from moonmind.domain.results import StoredArtifact
from moonmind.domain.states import Stage
from moonmind.telemetry.redaction import Redactor
from moonmind.workflows.speckit_celery.storage import Download, FileArtifactStore

FOLDER = ArtifactFolder(UUID(int=7), Stage.APPLY, attempt=1, token=1)
TOKEN = "ghp_" + "a1B2c3D4" * 5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FileArtifactStore:
    return FileArtifactStore(root)


def download(store: FileArtifactStore, artifact: StoredArtifact) -> Download:
    return store.open_for_download(artifact.path, size_bytes=artifact.size_bytes, sha256=artifact.sha256)


def files_below(root: Path) -> list[str]:
    return sorted(
        path.name for path in root.rglob("*") if path.is_file() and path.name not in ("store.id", ".store.lock")
    )


@contextmanager
def refused_as(code: FailureCode, words: str = "") -> Iterator[None]:
    with pytest.raises(WorkflowError) as refusal:
        yield
    assert refusal.value.code is code
    assert words in refusal.value.detail


class TestUnavailable:
    @contextmanager
    def largest_file(self, size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_a_file_that_cannot_be_written_whole_leaves_nothing_behind(
        self, store: FileArtifactStore, root: Path
    ) -> None:
        assert store.store_id
        with self.largest_file(4096), refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "larger than"):
            store.put(FOLDER, "prompt", "prompt.md", b"x" * 8192)
        assert files_below(root) == []

    def test_a_full_disk_is_told_in_words_and_leaves_nothing_behind(self, root: Path) -> None:
        class OntoAFullDisk(Redactor):
            def file(self, source: BinaryIO, target: BinaryIO) -> None:
                target.write(b"some of it")
                with Path("/dev/full").open("wb", buffering=0) as full:
                    full.write(source.read())

        store = FileArtifactStore(root, scrub=OntoAFullDisk())
        store.live_path(FOLDER, "log.txt").write_bytes(b"words")
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "the disk is full"):
            store.seal(FOLDER, "codex_logs", "log.txt")
        assert files_below(root) == ["log.txt.live"]

    def test_after_space_was_made_the_same_write_succeeds(self, root: Path) -> None:
        root.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", root], check=False).returncode:
            return  # only root may mount; the tests around this one need no rights
        try:
            store = FileArtifactStore(root)
            ballast = store.put(FOLDER, "prompt", "ballast", b"x" * 40_000)
            with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "the disk is full"):
                store.put(FOLDER, "prompt", "prompt.md", b"y" * 40_000)
            (root / ballast.path).unlink()
            assert store.read(store.put(FOLDER, "prompt", "prompt.md", b"y" * 40_000)) == b"y" * 40_000
        finally:
            subprocess.run(["umount", root], check=True)

    def test_a_file_in_place_of_the_root(self, root: Path) -> None:
        root.write_text("not a folder")
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "no folder is in the way"):
            FileArtifactStore(root).put(FOLDER, "prompt", "prompt.md", b"")

    def test_a_file_in_place_of_a_runs_folder(self, store: FileArtifactStore, root: Path) -> None:
        assert store.store_id
        (root / str(FOLDER.run_id)).write_text("not a folder")
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "no folder is in the way"):
            store.live_path(FOLDER, "log.txt")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
    def test_the_words_say_what_to_look_at(self, root: Path, number: int) -> None:
        class Failing(Redactor):
            def file(self, source: BinaryIO, target: BinaryIO) -> None:
                raise OSError(number, os.strerror(number))

        store = FileArtifactStore(root, scrub=Failing())
        store.live_path(FOLDER, "log.txt").write_bytes(b"words")
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "Could not write to the artifact store"):
            store.seal(FOLDER, "codex_logs", "log.txt")


class TestStoreId:
    def test_processes_that_start_together_agree(self, root: Path) -> None:
        stores = [FileArtifactStore(root) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda store: store.store_id, stores))
        assert len(set(ids)) == 1

    def test_it_is_the_same_after_a_restart(self, root: Path) -> None:
        assert FileArtifactStore(root).store_id == FileArtifactStore(root).store_id

    def test_a_disk_that_was_unmounted_under_us_is_noticed(self, store: FileArtifactStore, root: Path) -> None:
        store.put(FOLDER, "prompt", "prompt.md", b"")
        root.rename(root.with_name("unmounted"))
        root.mkdir()
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "is its disk mounted?"):
            store.put(FOLDER, "prompt", "other.md", b"")
        assert files_below(root) == []

    def test_a_damaged_id_is_not_replaced(self, store: FileArtifactStore, root: Path) -> None:
        root.mkdir()
        (root / "store.id").write_text("")
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE, "damaged"):
            store.put(FOLDER, "prompt", "prompt.md", b"")

    def test_a_file_of_another_store_is_missing_with_both_ids(self, store: FileArtifactStore) -> None:
        stored = store.put(FOLDER, "prompt", "prompt.md", b"")
        elsewhere = replace(stored, path=f"{UUID(int=8)}/a1-submit-t1/prompt.md", store_id="another")
        with refused_as(FailureCode.ARTIFACT_MISSING, f"written to store another, and this is {store.store_id}"):
            store.read(elsewhere)


class TestPlantedFiles:
    """What somebody with write access below the root may put there must not make foreign files readable."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        file = tmp_path / "secret"
        file.write_bytes(b"words")
        return file

    @pytest.fixture
    def stored(self, store: FileArtifactStore) -> StoredArtifact:
        return store.put(FOLDER, "prompt", "prompt.md", b"words")

    def refuses(self, store: FileArtifactStore, stored: StoredArtifact) -> None:
        with refused_as(FailureCode.ARTIFACT_MISSING):
            store.read(stored)
        with refused_as(FailureCode.ARTIFACT_MISSING):
            download(store, stored)

    def test_a_link_in_place_of_the_file(
        self, store: FileArtifactStore, root: Path, stored: StoredArtifact, secret: Path
    ) -> None:
        (root / stored.path).unlink()
        (root / stored.path).symlink_to(secret)
        self.refuses(store, stored)

    def test_a_hard_link_in_place_of_the_file(
        self, store: FileArtifactStore, root: Path, stored: StoredArtifact, secret: Path
    ) -> None:
        (root / stored.path).unlink()
        (root / stored.path).hardlink_to(secret)
        self.refuses(store, stored)

    def test_a_link_in_place_of_a_folder(
        self, store: FileArtifactStore, root: Path, stored: StoredArtifact, tmp_path: Path
    ) -> None:
        run = root / str(FOLDER.run_id)
        run.rename(tmp_path / "moved")
        run.symlink_to(tmp_path / "moved")
        self.refuses(store, stored)
        with refused_as(FailureCode.ARTIFACT_STORE_UNAVAILABLE):
            store.put(FOLDER, "prompt", "other.md", b"")

    def test_a_fifo_in_place_of_the_file_does_not_hold_anybody_up(
        self, store: FileArtifactStore, root: Path, stored: StoredArtifact
    ) -> None:
        (root / stored.path).unlink()
        os.mkfifo(root / stored.path)
        self.refuses(store, stored)

    def test_a_folder_in_place_of_the_file(self, store: FileArtifactStore, root: Path, stored: StoredArtifact) -> None:
        (root / stored.path).unlink()
        (root / stored.path).mkdir()
        self.refuses(store, stored)

    @pytest.mark.parametrize(
        "path", ["../secret", "/etc/hostname", "x/../../secret", ".", "", "..", "\0", "store.id/.."]
    )
    def test_a_path_that_leaves_the_root(self, store: FileArtifactStore, secret: Path, path: str) -> None:
        with refused_as(FailureCode.ARTIFACT_MISSING):
            store.open_for_download(path, size_bytes=5, sha256="0" * 64)

    def test_a_link_to_stream_to_is_not_sealed(self, store: FileArtifactStore, secret: Path) -> None:
        store.live_path(FOLDER, "log.txt").symlink_to(secret)
        with refused_as(FailureCode.ARTIFACT_MISSING):
            store.seal(FOLDER, "codex_logs", "log.txt")


class TestDownload:
    @pytest.fixture
    def stored(self, store: FileArtifactStore) -> StoredArtifact:
        return store.put(FOLDER, "codex_logs", "log.txt", bytes(range(256)) * 4096)

    def test_gives_everything(self, store: FileArtifactStore, stored: StoredArtifact) -> None:
        assert b"".join(download(store, stored).chunks()) == store.read(stored)

    @pytest.mark.parametrize(("start", "stop"), [(0, 1), (1000, 300_000), (1_048_575, None), (5, 5), (9, 2**40)])
    def test_gives_a_range(
        self, store: FileArtifactStore, stored: StoredArtifact, start: int, stop: int | None
    ) -> None:
        assert b"".join(download(store, stored).chunks(start, stop)) == store.read(stored)[start:stop]

    def test_a_changed_file_is_not_handed_out_even_after_it_was_right_once(
        self, store: FileArtifactStore, root: Path, stored: StoredArtifact
    ) -> None:
        download(store, stored).close()
        with (root / stored.path).open("r+b") as file:
            file.write(b"!")
        with refused_as(FailureCode.ARTIFACT_DIGEST_MISMATCH):
            download(store, stored)

    def test_a_removed_file_is_missing(self, store: FileArtifactStore, root: Path, stored: StoredArtifact) -> None:
        (root / stored.path).unlink()
        with refused_as(FailureCode.ARTIFACT_MISSING):
            download(store, stored)


class TestRedaction:
    @pytest.fixture
    def store(self, root: Path) -> FileArtifactStore:
        return FileArtifactStore(root, scrub=Redactor())

    def test_nothing_that_is_stored_shows_a_secret(self, store: FileArtifactStore, root: Path) -> None:
        store.put(FOLDER, "gh_push_log", "push.log", f"remote: {TOKEN}".encode())
        store.live_path(FOLDER, "log.txt").write_bytes(f"echo {TOKEN}".encode())
        store.seal(FOLDER, "codex_logs", "log.txt")
        assert [path for path in root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []

    def test_the_digest_is_that_of_what_is_stored(self, store: FileArtifactStore) -> None:
        stored = store.put(FOLDER, "gh_push_log", "push.log", f"remote: {TOKEN}".encode())
        assert store.read(stored) == b"remote: [redacted:github-token]"

    def test_the_same_again_is_the_same_artifact(self, store: FileArtifactStore) -> None:
        content = f"remote: {TOKEN}".encode()
        assert store.put(FOLDER, "gh_push_log", "a.log", content) == store.put(FOLDER, "gh_push_log", "a.log", content)

    @pytest.mark.parametrize(
        ("artifact_type", "name"), [("codex_patch", "codex.patch"), ("apply_output", "final.patch")]
    )
    def test_a_patch_is_kept_to_the_byte(self, store: FileArtifactStore, artifact_type: str, name: str) -> None:
        """A patch with `[redacted:…]` in it would still apply, and put that text into the source."""
        content = f"+token = '{TOKEN}'\n".encode()
        assert store.read(store.put(FOLDER, artifact_type, name, content)) == content

    def test_the_copy_of_a_refused_patch_is_not(self, store: FileArtifactStore) -> None:
        stored = store.put(FOLDER, "codex_patch", "codex.patch.redacted", f"+token = '{TOKEN}'\n".encode())
        assert store.read(stored) == b"+token = '[redacted:github-token]'\n"
