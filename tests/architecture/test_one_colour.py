"""
Keep the code synchronous, and commits in one place.

Two colours of function mean two of everything: sessions, repositories, fakes. And a commit in the
middle of a rule ends the lock that the rest of the rule relies on.
"""

import ast
from pathlib import Path

from tests.architecture.sources import PRODUCT, python_files, read

MAY_BE_ASYNC = {
    "api_service/api/limits.py": "middleware has the form that ASGI gives it",
    "api_service/api/routers/events.py": "a live update waits for hours and must not hold a thread",
}
COMMITS = Path("api_service/db/session.py")


def test_functions_are_plain() -> None:
    functions = [
        f"{path}:{node.lineno}"
        for path in python_files(*PRODUCT)
        if str(path) not in MAY_BE_ASYNC
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert functions == []


def test_nobody_but_the_transaction_commits() -> None:
    commits = [
        f"{path}:{node.lineno}"
        for path in python_files(*PRODUCT)
        if path != COMMITS
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.Call) and _is_commit_of_a_session(node)
    ]
    assert commits == []


def _is_commit_of_a_session(call: ast.Call) -> bool:
    # A git tree is committed too, but with an order; a session's commit takes nothing.
    is_commit = isinstance(call.func, ast.Attribute) and call.func.attr == "commit"
    return is_commit and not (call.args or call.keywords)
