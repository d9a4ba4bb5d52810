"""Find a repository below the local forge's root, and nothing outside of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

# A leading dash would be read as an option, a leading dot as a hidden file or a parent folder.
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Place:
    """Where one repository and its pull requests lie."""

    repository: str
    """OWNER/NAME in lower case."""
    git_dir: Path
    pulls_dir: Path


def find_place(root: Path, repository: str) -> Place:
    """Return where the repository lies, whatever its case; raises `repository_not_found`."""
    owner, _, name = repository.partition("/")
    if not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name):
        detail = f"{repository!r} is not of the form OWNER/NAME with letters, digits, dots, dashes and underscores."
        raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, detail)
    wanted = root / owner / f"{name}.git"
    owner_dir = _entry(root, owner)
    git_dir = _entry(owner_dir, f"{name}.git") if owner_dir else None
    if git_dir is None or not _is_bare_repository(git_dir):
        detail = (
            f"There is no bare repository at {wanted}. "
            f"Make one with `git clone --bare /path/to/repository {wanted}`, then push to it."
        )
        raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, detail)
    pulls_dir = git_dir.with_name(f"{git_dir.name.removesuffix(git_dir.suffix)}.pulls")
    for path in (git_dir, pulls_dir):
        _refuse_outside(root, path)
    return Place(f"{owner}/{name}".lower(), git_dir, pulls_dir)


def _entry(folder: Path, name: str) -> Path | None:
    """Return the entry of that name in any case; where two differ in case alone, the exact one."""
    try:
        found = sorted(entry for entry in folder.iterdir() if entry.name.lower() == name.lower())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    exact = folder / name
    if exact in found or len(found) < 2:  # noqa: PLR2004 - two are one too many
        return exact if exact in found else next(iter(found), None)
    names = " and ".join(str(entry) for entry in found)
    raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, f"{names} differ in case alone; rename one of them.")


def _is_bare_repository(path: Path) -> bool:
    try:
        return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    except PermissionError:
        return False


def _refuse_outside(root: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        detail = f"{path} is a link that leaves {root}, so it is not used; move the repository itself there."
        raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, detail)
