"""
Hold the words between worker and launcher, so that both sides of the pipes read one definition.

Standard library only: the launcher runs without site packages.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class EndReason(StrEnum):
    """Why the agent's processes are gone."""

    EXITED = "exited"
    WALL = "wall"
    IDLE = "idle"
    LEASE_ENDED = "lease_ended"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    LOG_FAILED = "log_failed"


@dataclass(frozen=True)
class LaunchOrder:
    """
    What to run; `wall` and `idle` in seconds, `log_limit` in bytes.

    `writable` and `hidden` are the folders of `Ruleset`; without writable ones nothing is confined.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    stdin: str
    log: str
    wall: float
    idle: float
    log_limit: int
    writable: Sequence[str]
    hidden: Sequence[str]

    def to_line(self) -> bytes:
        """Return the order as the first line that a launcher reads."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "LaunchOrder":
        """Read what `to_line` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class EndReport:
    """The end of the agent; a negative exit code is a signal, None means that it did not end by itself."""

    reason: EndReason
    exit_code: int | None
    seconds: float
    detail: str = ""

    def to_line(self) -> bytes:
        """Return the report as the line that a launcher writes at its end."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_output(cls, output: bytes) -> "EndReport | None":
        """Find the report in a launcher's output; None when it ended without one."""
        for line in output.splitlines():
            if line.startswith(b'{"reason": '):
                values = json.loads(line)
                return cls(**{**values, "reason": EndReason(values["reason"])})
        return None


GO = b"go\n"
LOST = b"lost\n"
LEASE = b"lease "


def lease_line(until: float) -> bytes:
    """
    Say until which boot time the lease holds.

    A point in time and not a duration: a message may lie in the pipe for a while.
    """
    return LEASE + f"{until:.3f}\n".encode()


def boot_time() -> float:
    """Seconds since the machine started, sleep included: all processes of a host read the same clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
