"""Write files that only their owner may read, whole or not at all."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Replace a file by rename; it is never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def private_key(path: Path) -> bytes:
    """Return the random key kept in a file, made at the first use; two processes get the same one."""
    try:
        return bytes.fromhex(path.read_text())
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        write_private(temporary, secrets.token_hex(32))
        try:
            # A link, unlike a rename, fails where another process was first.
            os.link(temporary, path)
        except FileExistsError:
            return bytes.fromhex(path.read_text())
        finally:
            temporary.unlink(missing_ok=True)
        return bytes.fromhex(path.read_text())
