"""Know the agents' trees by their keys, and remove them whole."""

import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from moonmind.workspace.removal import discard

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TRASH = ".trash-"


def agent_folder(root: Path, key: str) -> Path:
    """Return where a key's tree is; raises ValueError for a key that is no plain name."""
    if not _KEY.fullmatch(key):
        message = f"{key!r} cannot be the key of a tree"
        raise ValueError(message)
    return root / "agents" / key


def agent_tree_keys(root: Path) -> list[str]:
    """List the keys that have a tree, complete or not."""
    agents = root / "agents"
    if not agents.is_dir():
        return []
    return sorted(folder.name for folder in agents.iterdir() if _KEY.fullmatch(folder.name))


def remove_agent_tree(root: Path, key: str) -> None:
    """
    Remove one tree, and what earlier removals could not finish.

    Repeating is safe, and a crash midway leaves no half of a tree under the key.
    """
    folder = agent_folder(root, key)
    # Gone before we look, or between two of us: either way there is nothing left to do.
    with suppress(FileNotFoundError):
        folder.rename(folder.with_name(f"{_TRASH}{secrets.token_hex(8)}"))
    for trash in folder.parent.glob(f"{_TRASH}*"):
        discard(trash)


def remove_agent_trees(root: Path, keep: Collection[str]) -> list[str]:
    """
    Remove all trees but those to keep and return their keys.

    The caller decides what is still owned; a tree made meanwhile must be among those to keep.
    """
    removed = [key for key in agent_tree_keys(root) if key not in keep]
    for key in removed:
        remove_agent_tree(root, key)
    return removed
