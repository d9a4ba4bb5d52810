"""Make and read page cursors: opaque, signed, and stable while rows arrive."""

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime
from uuid import UUID

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_SIGNATURE_BYTES = 16
_LONGEST = 256


def make_cursor(key: bytes, created_at: datetime, run_id: UUID) -> str:
    """Return the cursor that goes on after this row."""
    body = json.dumps([created_at.isoformat(), str(run_id)]).encode()
    return base64.urlsafe_b64encode(_sign(key, body) + body).decode().rstrip("=")


def read_cursor(key: bytes, text: str) -> tuple[datetime, UUID]:
    """Return the row after which to go on; raises `cursor_invalid` for anything not made by `make_cursor`."""
    invalid = WorkflowError(FailureCode.CURSOR_INVALID, "The cursor was not made by this service.")
    if len(text) > _LONGEST:
        raise invalid
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise invalid from error
    signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(key, body)):
        raise invalid
    created_at, run_id = json.loads(body)
    return datetime.fromisoformat(created_at), UUID(run_id)


def _sign(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
