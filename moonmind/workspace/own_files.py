"""Keep files of ours as we wrote them, since an agent that nothing confines may have put others in their place."""

import os
import stat
import tempfile
from pathlib import Path

from moonmind.workspace.removal import discard


def settle(path: Path, text: str, *, mode: int) -> None:
    """
    Make the file have this text and these rights; repeating is safe, also for several processes at once.

    Whatever else is there is replaced and never followed, opened for writing or waited for.
    """
    content = text.encode()
    if _has(path, content, mode):
        return
    if path.is_dir() and not path.is_symlink():
        discard(path)
    # Another process may be doing the same, so each writes a draft of its own.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    draft = Path(file.name)
    draft.chmod(mode)
    draft.replace(path)


def clear(path: Path) -> None:
    """Remove whatever is there; nothing happens where nothing is."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (IsADirectoryError, PermissionError):
        discard(path)


def _has(path: Path, content: bytes, mode: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        rights = os.fstat(descriptor).st_mode
        return rights == stat.S_IFREG | mode and os.read(descriptor, len(content) + 1) == content
    finally:
        os.close(descriptor)
