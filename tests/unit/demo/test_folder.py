"""Two demonstrations never work in one folder at once, and the second one waits a little for the first."""

import subprocess
import sys
from pathlib import Path

import pytest

from moonmind.demo import folder as folder_module
from moonmind.demo.folder import DemoFolder
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode


@pytest.fixture
def said() -> list[str]:
    return []


class TestDemoFolder:
    def test_is_made_when_it_is_not_there(self, tmp_path: Path, said: list[str]) -> None:
        folder = DemoFolder(tmp_path / "var" / "demo")
        with folder.alone(waiting=lambda: said.append("waiting")):
            assert folder.path.is_dir()
        assert said == []

    def test_is_free_again_after_a_demonstration(self, tmp_path: Path, said: list[str]) -> None:
        for _ in range(2):
            with DemoFolder(tmp_path).alone(waiting=lambda: said.append("waiting")):
                pass
        assert said == []

    def test_waits_for_a_service_that_still_stops(self, tmp_path: Path, said: list[str]) -> None:
        with DemoFolder(tmp_path).alone(waiting=lambda: None) as lock:
            # It holds a copy of the lock beyond the end of the demonstration that started it.
            leftover = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"], pass_fds=(lock,))
        with leftover, DemoFolder(tmp_path).alone(waiting=lambda: said.append("waiting")):
            assert leftover.wait(5) == 0
        assert said == ["waiting"]

    def test_gives_up_when_the_other_one_stays(
        self, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(folder_module, "_PATIENCE_SECONDS", 0.2)
        with (
            DemoFolder(tmp_path).alone(waiting=lambda: None),
            pytest.raises(WorkflowError) as refused,
            DemoFolder(tmp_path).alone(waiting=lambda: said.append("waiting")),
        ):
            pytest.fail("two demonstrations hold one folder")
        assert refused.value.code is FailureCode.DEMO_NOT_POSSIBLE
        assert said == ["waiting"]

    def test_knows_the_port_of_the_last_service(self, tmp_path: Path) -> None:
        folder = DemoFolder(tmp_path)
        assert folder.last_port is None
        (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:43210"}')
        assert folder.last_port == 43210
