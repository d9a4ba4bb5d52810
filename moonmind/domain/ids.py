"""Make time-ordered ids, so that keys sort by age and indexes stay dense."""

import secrets
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    milliseconds = time.time_ns() // 1_000_000
    high = secrets.randbits(12) << 64
    low = secrets.randbits(62)
    return UUID(int=milliseconds << 80 | _VERSION_7 | high | _VARIANT | low)
