"""Give each test of a stage a desk of its own."""

from pathlib import Path

import pytest

from tests.unit.stages.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A run over fakes, without a repository yet."""
    return Desk(tmp_path)


@pytest.fixture
def planned(desk: Desk) -> Desk:
    """A run over fakes whose repository has a phase to do."""
    desk.plan()
    return desk
