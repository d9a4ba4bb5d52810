"""A process proves that it lives by a lock that the kernel takes away with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from moonmind.dispatch.holders import DataFolderLock, Holder
from moonmind.dispatch.private_files import private_key, write_private
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

HOLD = """
import sys, time
from pathlib import Path
from moonmind.dispatch.holders import Holder
holder = Holder(Path(sys.argv[1]))
print(holder.id, flush=True)
time.sleep(60)
"""


def test_a_living_neighbour_is_not_dead_and_a_killed_one_is(tmp_path: Path) -> None:
    neighbour = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert neighbour.stdout is not None
    identity = neighbour.stdout.readline().strip()
    mine = Holder(tmp_path)
    try:
        assert mine.dead() == frozenset()
        neighbour.kill()
        neighbour.wait()
        assert mine.dead() == {identity}
        mine.bury(mine.dead())
        assert mine.dead() == frozenset()
    finally:
        mine.release()
        neighbour.kill()
        neighbour.stdout.close()
        neighbour.wait()


def test_one_service_has_a_data_folder_at_a_time(tmp_path: Path) -> None:
    first = DataFolderLock(tmp_path)
    with pytest.raises(WorkflowError) as refused:
        DataFolderLock(tmp_path)
    assert refused.value.code is FailureCode.DATA_FOLDER_IN_USE
    first.release()
    DataFolderLock(tmp_path).release()


def test_private_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "token", "secret")
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_the_same_key_is_given_each_time(tmp_path: Path) -> None:
    keys = {private_key(tmp_path / "deep" / "cursor.key") for _ in range(3)}
    assert len(keys) == 1
    assert (tmp_path / "deep" / "cursor.key").stat().st_mode & 0o777 == 0o600
