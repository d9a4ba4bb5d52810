"""A mirror is shared by threads, processes and crashes; a run always finds a whole one."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.workspace.checkout import GitWorkspace
from moonmind.workspace.mirror import MOST_PACKS
from tests.integration.workspace.conftest import FILES, ORDER, Refused
from tests.origins import Origin, plain_git

_FETCH = """
import sys
from datetime import timedelta
from pathlib import Path
from moonmind.domain.ports import Remote
from moonmind.workspace.checkout import GitWorkspace
workspace = GitWorkspace(Path(sys.argv[1]), timeout=timedelta(seconds=20))
remote = Remote("octo/demo", sys.argv[2], ("file",))
workspace.fetch(remote)
print(workspace.branch_tip(remote, "main"))
"""


@pytest.fixture
def mirror(root: Path, base: str) -> Path:
    return next((root / "mirrors").glob("*.git"))


def start_fetching(root: Path, origin: Origin) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-c", _FETCH, str(root), origin.remote.url]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_and_threads_may_fetch_at_once(root: Path, origin: Origin, workspace: GitWorkspace) -> None:
    tip = origin.commit("main", FILES)
    for branch in range(20):
        origin.commit(f"b{branch}", {"f": str(branch).encode()})
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            workspace.fetch(origin.remote)
        except Exception as error:  # noqa: BLE001 - any of them fails the test
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    processes = [start_fetching(root, origin) for _ in range(2)]
    for thread in threads:
        thread.start()
    answers = [process.communicate() for process in processes]
    for thread in threads:
        thread.join()
    assert failures == []
    assert [out.decode().strip() for out, _ in answers] == [tip, tip], answers
    assert [path.name for path in (root / "mirrors").iterdir() if path.suffix not in {".git", ".lock"}] == []


def damage_config(mirror: Path) -> None:
    (mirror / "config").write_text("[core\n")


def damage_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def truncate_objects(mirror: Path) -> None:
    for path in (mirror / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")


def lose_objects(mirror: Path) -> None:
    shutil.rmtree(mirror / "objects")
    (mirror / "objects").mkdir()


def damage_reference(mirror: Path) -> None:
    for path in (mirror / "refs/remotes/origin").iterdir():
        path.write_text("garbage\n")


def leave_half(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.mkdir()
    (mirror / "HEAD").write_text("ref: refs/heads/main\n")


def put_a_file(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.write_text("x")


@pytest.mark.parametrize(
    "damage",
    [damage_config, damage_head, truncate_objects, lose_objects, damage_reference, leave_half, put_a_file],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_mirror_is_made_anew(
    workspace: GitWorkspace, origin: Origin, base: str, mirror: Path, damage: Callable[[Path], None]
) -> None:
    damage(mirror)
    later = origin.commit("main", {"new": b"new\n"})
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") == later
    assert workspace.read_file(origin.remote, later, "README.md", limit=100) == FILES["README.md"]
    assert workspace.read_file(origin.remote, later, "new", limit=100) == b"new\n"
    assert sorted(path.suffix for path in mirror.parent.iterdir()) == [".git", ".lock"]


def test_damage_that_shows_only_when_reading_is_mended_by_the_next_fetch(
    workspace: GitWorkspace, origin: Origin, base: str, mirror: Path, refused: Refused
) -> None:
    blob = origin.git("rev-parse", f"{base}:README.md")
    index = next(mirror.glob("objects/pack/*.idx"))
    listed = plain_git("verify-pack", "-v", str(index)).splitlines()
    offset = next(int(line.split()[4]) for line in listed if line.startswith(blob))
    pack = index.with_suffix(".pack")
    pack.chmod(0o600)
    content = pack.read_bytes()
    pack.write_bytes(content[: offset + 1] + b"garbage" + content[offset + 8 :])
    with refused(FailureCode.REPOSITORY_UNREACHABLE) as caught:
        workspace.read_file(origin.remote, base, "README.md", limit=100)
    assert "made anew" in caught.value.detail
    workspace.fetch(origin.remote)
    assert workspace.read_file(origin.remote, base, "README.md", limit=100) == FILES["README.md"]


def test_a_mirror_is_kept_while_the_remote_is_at_fault(
    workspace: GitWorkspace, origin: Origin, base: str, mirror: Path, refused: Refused
) -> None:
    inode = mirror.stat().st_ino
    moved = origin.folder.with_suffix(".moved")
    origin.folder.rename(moved)
    with refused(FailureCode.REPOSITORY_NOT_FOUND):
        workspace.fetch(origin.remote)
    moved.rename(origin.folder)
    workspace.fetch(origin.remote)
    assert mirror.stat().st_ino == inode
    assert workspace.branch_tip(origin.remote, "main") == base


def test_locks_of_a_killed_git_are_cleared(workspace: GitWorkspace, origin: Origin, base: str, mirror: Path) -> None:
    inode = mirror.stat().st_ino
    for name in ("refs/remotes/origin/main.lock", "packed-refs.lock"):
        (mirror / name).touch()
    later = origin.commit("main", {"new": b"new\n"})
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") == later
    assert mirror.stat().st_ino == inode


def test_a_killed_workers_git_keeps_the_lock_until_it_ends(
    origin: Origin, root: Path, workspace: GitWorkspace, base: str, tmp_path: Path, refused: Refused
) -> None:
    """Else a successor would write beside the orphan."""
    spy = tmp_path / "bin"
    spy.mkdir()
    (spy / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/fetching\nsleep 1.5\n")
    (spy / "git").chmod(0o755)
    code = _FETCH.replace("timeout=", f"surroundings={{'PATH': '{spy}:/usr/bin:/bin'}}, timeout=")
    with subprocess.Popen([sys.executable, "-c", code, str(root), origin.remote.url]) as worker:
        while not (tmp_path / "fetching").exists():
            time.sleep(0.02)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        with refused(FailureCode.GIT_TIMED_OUT):
            GitWorkspace(root, timeout=timedelta(seconds=0.2)).fetch(origin.remote)
        workspace.fetch(origin.remote)


def test_a_remote_that_hangs_times_out_and_leaves_no_process(
    origin: Origin, root: Path, base: str, tmp_path: Path, refused: Refused
) -> None:
    spy = tmp_path / "bin"
    spy.mkdir()
    (spy / "git").write_text(f"#!/bin/sh\nsleep 60 & echo $! >> {tmp_path}/pids\nwait\n")
    (spy / "git").chmod(0o755)
    hanging = GitWorkspace(root, timeout=timedelta(seconds=0.3), surroundings={"PATH": f"{spy}:/usr/bin:/bin"})
    with refused(FailureCode.GIT_TIMED_OUT):
        hanging.fetch(origin.remote)
    for pid in (tmp_path / "pids").read_text().split():
        assert not Path(f"/proc/{pid}/root").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_a_commit_of_ours_survives_unreferenced(
    workspace: GitWorkspace, origin: Origin, base: str, mirror: Path
) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.write("README.md", b"ours\n")
        commit = tree.commit(ORDER)
    month = time.time() - 60 * 86400
    for path in (mirror / "objects").rglob("*"):
        os.utime(path, (month, month))
    for number in range(3):
        origin.commit("main", {f"f{number}": b"x"})
        workspace.fetch(origin.remote)
    assert workspace.read_file(origin.remote, commit, "README.md", limit=100) == b"ours\n"


def test_many_fetches_leave_few_packs_and_lose_nothing(
    workspace: GitWorkspace, origin: Origin, base: str, mirror: Path
) -> None:
    with workspace.clean_tree(origin.remote, base) as tree:
        tree.write("README.md", b"ours\n")
        commit = tree.commit(ORDER)
    first = ""
    for number in range(MOST_PACKS + 2):
        rewritten = origin.commit("rewritten", {"f": str(number).encode()})
        workspace.fetch(origin.remote)
        origin.delete_branch("rewritten")
        first = first or rewritten
    assert len(list(mirror.glob("objects/pack/*.pack"))) < MOST_PACKS // 2
    assert workspace.read_file(origin.remote, commit, "README.md", limit=100) == b"ours\n"
    assert plain_git(f"--git-dir={mirror}", "cat-file", "blob", f"{first}:f") == "0"
    workspace.push(origin.remote, branch="moonmind/x", commit=commit, expected=None)


def test_a_rewritten_branch_is_followed_and_the_old_commit_kept(
    workspace: GitWorkspace, origin: Origin, base: str
) -> None:
    origin.delete_branch("main")
    rewritten = origin.commit("main", {"other": b"x"})
    workspace.fetch(origin.remote)
    assert workspace.branch_tip(origin.remote, "main") == rewritten
    assert workspace.read_file(origin.remote, base, "README.md", limit=100) == FILES["README.md"]


def test_another_host_asks_the_forge_for_a_base_that_its_branch_no_longer_has(
    origin: Origin, workspace: GitWorkspace, base: str, tmp_path: Path
) -> None:
    origin.delete_branch("main")
    origin.commit("main", {"other": b"x"})
    elsewhere = GitWorkspace(tmp_path / "another host")
    with elsewhere.clean_tree(origin.remote, base) as tree:
        assert tree.read("README.md") == FILES["README.md"]


def test_what_a_killed_worker_left_in_the_scratch_folder_goes_after_a_day(
    workspace: GitWorkspace, origin: Origin, base: str, root: Path
) -> None:
    old, young = root / "scratch/tree-old", root / "scratch/tree-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "index").touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    with workspace.clean_tree(origin.remote, base):
        assert (old.exists(), young.exists()) == (False, True)


def test_tags_and_other_references_stay_out(workspace: GitWorkspace, origin: Origin, base: str, mirror: Path) -> None:
    origin.git("tag", "-a", "-m", "x", "v1", base)
    origin.git("update-ref", "refs/pull/1/head", base)
    workspace.fetch(origin.remote)
    kept = plain_git(f"--git-dir={mirror}", "for-each-ref", "--format=%(refname)").split()
    assert kept == ["refs/remotes/origin/main"]


def test_a_volume_of_another_owner_can_be_used(origin: Origin, root: Path, tmp_path: Path) -> None:
    """Git refuses folders of other users, also in the `upload-pack` that it starts for a path."""
    base = origin.commit("main", FILES)
    spy = tmp_path / "bin"
    spy.mkdir()
    otherwise = "GIT_TEST_ASSUME_DIFFERENT_OWNER=1 PATH=/usr/local/bin:/usr/bin:/bin"
    (spy / "git").write_text(f'#!/bin/sh\nexec env {otherwise} git "$@"\n')
    (spy / "git").chmod(0o755)
    workspace = GitWorkspace(root, surroundings={"PATH": f"{spy}:/usr/bin:/bin"})
    workspace.fetch(origin.remote)
    assert workspace.agent_tree(origin.remote, base, key="agent").diff() == b""
    with workspace.clean_tree(origin.remote, base) as tree:
        commit = tree.commit(ORDER)
    workspace.push(origin.remote, branch="moonmind/x", commit=commit, expected=None)


def test_a_host_without_git_is_told_so(origin: Origin, root: Path, tmp_path: Path, refused: Refused) -> None:
    with refused(FailureCode.FORGE_UNAVAILABLE) as caught:
        GitWorkspace(root, surroundings={"PATH": str(tmp_path)}).remote_tip(origin.remote, "main")
    assert "git" in caught.value.detail


def test_a_damaged_mirror_stays_until_a_new_one_is_complete(
    workspace: GitWorkspace, origin: Origin, base: str, mirror: Path, refused: Refused
) -> None:
    damage_head(mirror)
    inode = mirror.stat().st_ino
    origin.folder.rename(origin.folder.with_suffix(".moved"))
    with refused(FailureCode.REPOSITORY_NOT_FOUND):
        workspace.fetch(origin.remote)
    assert mirror.stat().st_ino == inode
    assert sorted(path.suffix for path in mirror.parent.iterdir()) == [".git", ".lock"]
