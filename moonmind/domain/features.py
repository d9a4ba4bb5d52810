"""Find the feature that a run is about among the files of a commit."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NoReturn

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_PLAN_FILES = frozenset({"spec.md", "plan.md", "tasks.md"})
_DOCUMENTS = ("spec.md", "plan.md", "research.md", "data-model.md", "quickstart.md")
_DOCUMENT_FOLDERS = ("contracts", "checklists")
_CONSTITUTION = ".specify/memory/constitution.md"
_POINTER = ".specify/feature.json"
# These hold templates, copies, and the documents of another tool that look the same.
_FOREIGN_FOLDERS = frozenset({"node_modules", "vendor", "templates", "openspec"})
_NUMBERED = re.compile(r"(?P<number>\d{8}-\d{6}|\d+)-(?P<slug>.+)")
_MAX_POINTER_BYTES = 64 * 1024
_MAX_LISTED = 20
_MAX_QUOTED = 120
_MAX_DOCUMENTS_OF_A_FOLDER = 100


@dataclass(frozen=True)
class Feature:
    """
    One feature folder of a commit.

    `key` is its path without the `specs` folder around it: `001-login`, and in a monorepo
    `apps/web/001-login`. Given as a feature key it finds this feature again.
    """

    key: str
    directory: str
    tasks_path: str
    documents: tuple[str, ...]


def resolve_feature(files: Sequence[str], *, feature_key: str | None, read: Callable[[str], bytes | None]) -> Feature:
    """
    Find the feature by its key, else by `.specify/feature.json`, else take the only one there is.

    `files` are the paths of a commit and `read` gives the content of one. A key is a folder,
    its name, its number, or the path of its tasks.md, in any case of letters. Raises
    `WorkflowError`: `feature_not_found`, `feature_ambiguous` or `tasks_file_missing`.
    """
    by_folder = _by_folder(files)
    features = _feature_folders(by_folder)
    if feature_key is not None and feature_key.strip():
        directory = _by_key(feature_key.strip(), features, by_folder)
    else:
        directory = _by_pointer(files, read, features, by_folder) or _only_one(features)
    tasks_path = f"{directory}/tasks.md"
    if "tasks.md" not in by_folder.get(directory, ()):
        raise WorkflowError(FailureCode.TASKS_FILE_MISSING, f"`{directory}` has no tasks.md at this commit.")
    return Feature(_key_of(directory), directory, tasks_path, _documents(directory, files, by_folder))


def _by_folder(files: Iterable[str]) -> Mapping[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    return folders


def _feature_folders(by_folder: Mapping[str, set[str]]) -> Sequence[str]:
    """List the folders that hold a feature: below a `specs` folder, or where there is none, any with a task list."""
    holders = [
        folder
        for folder, names in by_folder.items()
        if folder and names & _PLAN_FILES and not _FOREIGN_FOLDERS & set(folder.split("/"))
    ]
    below_specs = [folder for folder in holders if "specs" in folder.split("/")[:-1]]
    with_tasks = [folder for folder in holders if "tasks.md" in by_folder[folder]]
    return sorted(below_specs or [folder for folder in with_tasks if len(by_folder[folder] & _PLAN_FILES) > 1])


def _key_of(directory: str) -> str:
    parts = directory.split("/")
    if "specs" in parts[:-1]:
        del parts[parts.index("specs")]
    shown = [part for part in parts if part != ".specify"]
    return "/".join(shown)


def _by_key(key: str, features: Sequence[str], by_folder: Mapping[str, set[str]]) -> str:
    wanted = key.replace("\\", "/").removeprefix("./").rstrip("/").casefold().removesuffix("/tasks.md")
    exact = [folder for folder in by_folder if folder and folder.casefold() == wanted]
    names = {folder: PurePosixPath(folder).name.casefold() for folder in features}
    ways = (
        [folder for folder in exact if by_folder[folder] & _PLAN_FILES or _is_spec_folder(folder)],
        [folder for folder in features if _key_of(folder).casefold() == wanted],
        [folder for folder in features if f"/{folder.casefold()}".endswith(f"/{wanted}")],
        [folder for folder in features if _number(names[folder]) == _as_number(wanted)],
        [folder for folder in features if _slug(names[folder]) == wanted],
    )
    found = next((matches for matches in ways if matches), [])
    return _single(found, features, f"no feature is called “{key[:_MAX_QUOTED]}”")


def _is_spec_folder(folder: str) -> bool:
    return PurePosixPath(folder).parent.name == "specs"


def _number(name: str) -> str | None:
    """Return the number in front of a folder's name without leading zeros; a time stamp stays whole."""
    found = _NUMBERED.fullmatch(name)
    return _as_number(found.group("number")) if found else None


def _as_number(text: str) -> str:
    return (text.lstrip("0") or "0") if text.isdecimal() else text


def _slug(name: str) -> str | None:
    found = _NUMBERED.fullmatch(name)
    return found.group("slug") if found else None


def _by_pointer(
    files: Sequence[str],
    read: Callable[[str], bytes | None],
    features: Sequence[str],
    by_folder: Mapping[str, set[str]],
) -> str | None:
    """Follow the file in which Spec Kit keeps the current feature, at the root or of the only member that has one."""
    pointers = sorted(path for path in files if path == _POINTER or path.endswith(f"/{_POINTER}"))
    if _POINTER in pointers:
        pointers = [_POINTER]
    named: dict[str, str] = {}
    for pointer in pointers:
        content = read(pointer)
        if content is not None:
            named[pointer] = _pointed_at(pointer, content, features)
    if not named:
        return None
    directories = sorted(set(named.values()))
    if len(directories) > 1:
        _single(directories, features, "")
    pointer, directory = next(iter(named.items()))
    spelled = [folder for folder in by_folder if folder.casefold() == directory.casefold()]
    exact = [directory] if directory in by_folder else spelled
    return _single(exact, features, f"`{pointer}` names `{directory[:_MAX_QUOTED]}`, which is not at this commit")


def _pointed_at(pointer: str, content: bytes, features: Sequence[str]) -> str:
    """Take the folder from the pointer's JSON; the file comes from the repository, so nothing in it is trusted."""
    root = pointer.removesuffix(_POINTER)
    try:
        parsed: object = json.loads(content) if len(content) <= _MAX_POINTER_BYTES else None
    except (ValueError, RecursionError):
        parsed = None
    value = parsed.get("feature_directory") if isinstance(parsed, dict) else None
    if not isinstance(value, str) or not value.strip():
        _not_found(f"`{pointer}` is not JSON with a `feature_directory`", features)
    parts = [part for part in value.strip().split("/") if part not in ("", ".")]
    is_odd = "\\" in value or ":" in value or not value.isprintable()
    if is_odd or not parts or ".." in parts or value.strip().startswith("/"):
        _not_found(f"`{pointer}` names a folder outside the repository", features)
    return root + "/".join(parts)


def _only_one(features: Sequence[str]) -> str:
    if len(features) > 1:
        _ambiguous(features)
    return _single(features, features, "no folder below `specs/` holds a spec.md, plan.md or tasks.md")


def _single(found: Sequence[str], features: Sequence[str], missing: str) -> str:
    if not found:
        _not_found(missing, features)
    if len(found) > 1:
        _ambiguous(found)
    return found[0]


def _ambiguous(candidates: Sequence[str]) -> NoReturn:
    raise WorkflowError(
        FailureCode.FEATURE_AMBIGUOUS, f"It could be any of {_listed(candidates)}.", candidates=list(candidates)
    )


def _not_found(why: str, features: Sequence[str]) -> NoReturn:
    there = f"There are {_listed(features)}." if features else "The commit has no feature folder at all."
    detail = f"{why[:1].upper()}{why[1:]}. {there}"
    raise WorkflowError(FailureCode.FEATURE_NOT_FOUND, detail, candidates=list(features))


def _listed(folders: Sequence[str]) -> str:
    more = f" and {len(folders) - _MAX_LISTED} more" if len(folders) > _MAX_LISTED else ""
    return ", ".join(f"`{folder}`" for folder in folders[:_MAX_LISTED]) + more


def _documents(directory: str, files: Sequence[str], by_folder: Mapping[str, set[str]]) -> tuple[str, ...]:
    """List what an agent should read beside the tasks, the most important first."""
    present = by_folder[directory]
    found = [f"{directory}/{name}" for name in _DOCUMENTS if name in present]
    for folder in _DOCUMENT_FOLDERS:
        inside = sorted(path for path in files if path.startswith(f"{directory}/{folder}/"))
        found += inside[:_MAX_DOCUMENTS_OF_A_FOLDER]
    parts = directory.split("/")
    roots = ["/".join(parts[:depth]) for depth in range(len(parts) - 1, 0, -1)]
    constitutions = [*(f"{root}/{_CONSTITUTION}" for root in roots), _CONSTITUTION]
    known = set(files)
    found += [path for path in constitutions if path in known][:1]
    return tuple(found)
