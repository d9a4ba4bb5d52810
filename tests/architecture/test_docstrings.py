"""Ask every module with code for the sentence that says why it exists."""

import ast

from tests.architecture.sources import PRODUCT, python_files, read


def test_a_module_says_why_it_exists() -> None:
    silent = [str(path) for path in python_files(*PRODUCT, "scripts", "tests") if not _says_why(read(path))]
    assert silent == []


def _says_why(text: str) -> bool:
    module = ast.parse(text)
    first_paragraph = (ast.get_docstring(module) or "").partition("\n\n")[0].rstrip()
    return not module.body or first_paragraph.endswith((".", ":"))
