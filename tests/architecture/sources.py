"""Find the files that the rules of this folder speak about."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("api_service", "celery_worker", "moonmind")
_OURS_ALTHOUGH_HIDDEN = {".ci", ".env-template", ".env.vllm-template", ".gitignore", ".importlinter"}
_NOT_OURS = {"__pycache__", "node_modules", "var"}


def python_files(*folders: str) -> list[Path]:
    """List the Python files below some folders, sorted; relative to the root."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """List every text file of the project, sorted; relative to the root."""
    return sorted(path.relative_to(ROOT) for path in _files(ROOT) if b"\0" not in path.read_bytes()[:8_000])


def read(path: Path) -> str:
    """Return the text of a file that the functions above gave."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _NOT_OURS or (path.name.startswith(".") and path.name not in _OURS_ALTHOUGH_HIDDEN):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file() and path.suffix != ".db":
            yield path
