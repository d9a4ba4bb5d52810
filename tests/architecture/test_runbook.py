"""The runbook has every failure code, in the very words that the API and the command line use."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_runbook_is_what_the_catalogue_says() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "lib" / "write_runbook.py"))
    text = (ROOT / "docs" / "ops-runbook.md").read_text(encoding="utf-8")
    assert text.endswith(written["render"]()), "run scripts/lib/write_runbook.py"
