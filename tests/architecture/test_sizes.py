"""
Keep modules and functions small.

A system like this one once began with one module of ordinary size that did five things; nothing
stopped it, and three years later it was a million bytes long and nobody could change it. Hence a limit
that a machine checks, and a list of exceptions that has to be argued for line by line.
"""

import ast
from pathlib import Path

from tests.architecture.sources import PRODUCT, python_files, read

MODULE_LINES = 300
FUNCTION_LINES = 50

LONG_MODULES = {
    "moonmind/domain/failures.py": "a table: one row for each failure code",
    "api_service/db/models.py": "the tables of one schema, which refer to each other",
}
# A migration is a list of statements in the order in which they run.
MIGRATIONS = Path("api_service/migrations/versions")


def test_a_module_fits_on_a_few_screens() -> None:
    """Too long? Move one of its reasons to change into a module of its own."""
    lengths = {str(path): len(read(path).splitlines()) for path in _checked(*PRODUCT, "scripts")}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES and name not in LONG_MODULES} == {}


def test_a_function_fits_on_one_screen() -> None:
    lengths = {
        f"{path}::{function.name}": (function.end_lineno or function.lineno) - function.lineno + 1
        for path in _checked(*PRODUCT, "scripts", "tests")
        for function in ast.walk(ast.parse(read(path)))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_every_exception_is_still_needed() -> None:
    short = [name for name in LONG_MODULES if len(read(Path(name)).splitlines()) <= MODULE_LINES]
    assert short == []


def _checked(*folders: str) -> list[Path]:
    return [path for path in python_files(*folders) if MIGRATIONS not in path.parents]
