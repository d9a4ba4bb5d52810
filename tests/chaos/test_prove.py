"""A small proof of the embedded stack: faults at every stage, and the count of what they cost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from moonmind.domain.states import STAGES

ROOT = Path(__file__).parents[2]
# Draws one pause, one termination, four kills, and with it a plan of half a minute.
SEED = 322


@pytest.mark.slow
@pytest.mark.timeout(180)  # half a minute on a machine of its own; three times that among others
def test_faults_at_every_stage_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    asked = ["--stack", "embedded", "--runs", "12", "--faults", "6", "--seed", str(SEED), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "moonmind.cli", "prove", *asked],
        cwd=tmp_path,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    proof = json.loads(done.stdout or "{}")
    assert (done.returncode, proof.get("holds")) == (0, True), done.stdout + done.stderr
    assert proof["endings"] == {"succeeded": proof["runs"]}
    assert proof["runs"] >= 12
    assert proof["faults"] == 6
    assert all(proof["faultsByStage"][stage.value] > 0 for stage in STAGES)
