"""Read the service's times and say durations in few letters."""

from datetime import UTC, datetime, timedelta

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def parse_time(value: object) -> datetime | None:
    """Return the time in UTC, None for anything that is no time; one without a zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def duration_text(span: timedelta) -> str:
    """Return such as `4s`, `3m 07s`, `2h 05m`, `3d 04h`; a negative span, made by two clocks, is `0s`."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE}m {seconds % _MINUTE:02}s"
    if seconds < _DAY:
        return f"{seconds // _HOUR}h {seconds % _HOUR // _MINUTE:02}m"
    return f"{seconds // _DAY}d {seconds % _DAY // _HOUR:02}h"


def time_text(time: datetime | None) -> str:
    """Return such as `2026-11-24 21:57:01Z`, nothing for None."""
    return f"{time:%Y-%m-%d %H:%M:%S}Z" if time else ""
