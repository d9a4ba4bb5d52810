"""
Import the stages in a fresh Python and look at what came along.

import-linter reads import statements; this test sees what is really loaded, through packages'
`__init__` files and whatever a dependency does when it is imported.
"""

import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import ROOT, python_files

HEAVY = ("alembic", "celery", "fastapi", "httpx", "kombu", "pydantic", "sqlalchemy", "starlette", "structlog")


def test_stages_and_domain_load_no_framework() -> None:
    names = [_module(path) for path in python_files("moonmind/domain", "moonmind/stages")]
    assert names
    program = f"import sys, {', '.join(names)}; print(*sorted(sys.modules.keys() & set({HEAVY!r})))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert loaded.stdout.split() == []


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
