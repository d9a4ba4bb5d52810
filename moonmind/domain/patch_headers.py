"""Read the header of one entry of a git patch: its paths, its modes, the size of its binary content."""

import re
import zlib
from base64 import b85decode
from collections.abc import Mapping, Sequence

from moonmind.domain.patch_names import NameUnreadableError, common_name, side_name, whole_name

HEADER_FIELD = re.compile(
    rb"(---|\+\+\+|old mode|new mode|deleted file mode|new file mode|copy from|copy to|rename old|rename new"
    rb"|rename from|rename to|similarity index|dissimilarity index|index) (.*)",
    re.DOTALL,
)
"""One line of a header; git knows all of these, and ends the header at the first other line."""

_OLD_NAMES = (b"rename from", b"rename old", b"copy from")
_NEW_NAMES = (b"rename to", b"rename new", b"copy to")
_MODE = re.compile(rb"([0-7]{6})\s*")
_INDEX = re.compile(rb"[0-9a-f]+\.\.[0-9a-f]+(?: ([0-7]{6}))?\s*")
_BINARY_LINE = re.compile(rb"([A-Za-z])([^\n]+)\n")
# Two numbers of at most ten bytes each stand at the start of a delta.
_DELTA_HEAD_BYTES = 20


class HeaderUnreadableError(Exception):
    """A header says nothing that git could do, or contradicts itself."""


def entry_paths(names: bytes, fields: Mapping[bytes, bytes]) -> tuple[str | None, str | None]:
    """Return the old and the new path; all places that name one must agree."""
    added, deleted = b"new file mode" in fields, b"deleted file mode" in fields
    if added and deleted:
        raise HeaderUnreadableError
    try:
        common = common_name(names)
        old = _agreed(_names(fields, b"---", _OLD_NAMES), common, absent=added)
        new = _agreed(_names(fields, b"+++", _NEW_NAMES), common, absent=deleted)
    except NameUnreadableError:
        raise HeaderUnreadableError from None
    return old, new


def _names(fields: Mapping[bytes, bytes], side: bytes, others: Sequence[bytes]) -> set[bytes | None]:
    names: set[bytes | None] = {whole_name(fields[other]) for other in others if other in fields}
    return names | ({side_name(fields[side])} if side in fields else set())


def _agreed(names: set[bytes | None], common: bytes | None, *, absent: bool) -> str | None:
    if absent:
        if names - {None}:
            raise HeaderUnreadableError
        return None
    # An entry without content has its name in the first line alone.
    candidates = names | {common} if common is not None or not names else names
    name = candidates.pop()
    if name is None or candidates:
        raise HeaderUnreadableError
    return name.decode("utf-8", "surrogateescape")


def entry_modes(fields: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Return the old and the new mode, empty where the header names none."""
    index = _INDEX.fullmatch(fields.get(b"index", b"0..0"))
    if index is None:
        raise HeaderUnreadableError
    unchanged = index[1].decode() if index[1] else ""
    old = _mode(fields, b"old mode", b"deleted file mode", unchanged)
    new = _mode(fields, b"new mode", b"new file mode", "" if b"deleted file mode" in fields else unchanged)
    return ("" if b"new file mode" in fields else old), new


def _mode(fields: Mapping[bytes, bytes], change: bytes, existence: bytes, unchanged: str) -> str:
    modes = {unchanged} - {""}
    for name in (change, existence):
        if name in fields:
            match = _MODE.fullmatch(fields[name])
            if match is None:
                raise HeaderUnreadableError
            modes.add(match[1].decode())
    if len(modes) > 1:
        raise HeaderUnreadableError
    return modes.pop() if modes else ""


def delta_target_size(lines: bytes) -> int | None:
    """
    Return how large the file is that a binary delta makes; None where the delta cannot be read.

    A delta of a few bytes may stand for gigabytes, so its own length tells nothing.
    """
    head = _unpacked_head(lines)
    position = 0
    size = None
    for _ in ("source", "target"):
        size, position = _number(head, position)
        if size is None:
            return None
    return size


def _unpacked_head(lines: bytes) -> bytes:
    unpack = zlib.decompressobj()
    head = b""
    try:
        for match in _BINARY_LINE.finditer(lines):
            letter = match[1][0]
            length = letter - 64 if letter <= ord("Z") else letter - 96 + 26
            head += unpack.decompress(b85decode(match[2])[:length], _DELTA_HEAD_BYTES - len(head))
            if len(head) >= _DELTA_HEAD_BYTES:
                break
    except (ValueError, zlib.error):
        return b""
    return head


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    value = shift = 0
    for index in range(at, len(data)):
        value |= (data[index] & 0x7F) << shift
        shift += 7
        if data[index] < 0x80:  # noqa: PLR2004 - the high bit says that another byte follows
            return value, index + 1
    return None, at
