"""Hold the failure catalogue to be the one place where codes are born, and complete."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from moonmind.domain.failures import CATALOGUE, FailureCode
from tests.architecture.sources import PRODUCT, python_files, read

CODES = {code.value for code in FailureCode}
# "Raises `git_timed_out`, `branch_moved` or `StaleClaimError` when ...": the list right after the verb.
_PROMISE = re.compile(r"\b[Rr]aises? (?P<list>(?:(?:,? or |, | and )?`[^`]+`)+)")
_CODE = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")


def test_every_code_has_a_row_in_the_order_of_the_codes() -> None:
    assert list(CATALOGUE) == list(FailureCode)


def test_every_row_says_what_happened_why_and_what_to_do() -> None:
    incomplete = [
        code
        for code, failure in CATALOGUE.items()
        if not (failure.title and failure.cause.endswith(".") and failure.remedy.endswith("."))
    ]
    assert incomplete == []


def test_every_code_that_the_source_speaks_of_is_in_the_catalogue() -> None:
    spoken_of = {path: {*_promised(module), *_written_out(module)} for path, module in _modules()}
    assert {str(path): codes - CODES for path, codes in spoken_of.items() if codes - CODES} == {}


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in python_files(*PRODUCT):
        yield path, ast.parse(read(path))


def _promised(module: ast.Module) -> Iterator[str]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(module):
        docstring = ast.get_docstring(node) if isinstance(node, documented) else None
        for promise in _PROMISE.finditer(" ".join((docstring or "").split())):
            yield from _CODE.findall(promise["list"])


def _written_out(module: ast.Module) -> Iterator[str]:
    """Find `code="..."`: where a code is not taken from the enum, it is at least a real one."""
    keywords = [node for node in ast.walk(module) if isinstance(node, ast.keyword) and node.arg == "code"]
    for value in [keyword.value for keyword in keywords]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value
