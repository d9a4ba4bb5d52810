"""Mark a pull request as the work of one run, invisibly and in a form that nobody forges by chance."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

# Letters, digits and these stand for themselves; all else is percent-encoded, so that no value
# can hold a space, an angle bracket or two dashes, and with them the end of the comment.
_PLAIN = "/"
_VALUE = r"((?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+)"
_GRAMMAR = re.compile(rf"<!-- moonmind run={_VALUE} feature={_VALUE} phase={_VALUE} base={_VALUE} -->")
_LONGEST_VALUE = 150
_EMPTY = "~"


@dataclass(frozen=True)
class Marker:
    """Whose pull request it is: the run, and the (feature, phase, base branch) it works on."""

    run: str
    feature: str
    phase: str
    base: str

    def is_same_work(self, other: "Marker") -> bool:
        """Tell whether both are for the same feature, phase and base, whatever their runs."""
        return (self.feature, self.phase, self.base) == (other.feature, other.phase, other.base)


def make_marker(*, run: str, feature: str, phase: str, base: str) -> Marker:
    """Return the marker of a run; a value too long for a marker is cut and gets its hash."""
    return Marker(run=_short(run), feature=_short(feature), phase=_short(phase), base=_short(base))


def render_marker(marker: Marker) -> str:
    """Return the comment that goes into the last line of a pull request's body."""
    values = {"run": marker.run, "feature": marker.feature, "phase": marker.phase, "base": marker.base}
    return f"<!-- moonmind {' '.join(f'{name}={_encode(value)}' for name, value in values.items())} -->"


def find_marker(body: str) -> Marker | None:
    """
    Return the marker of a pull request's body, None where it has none.

    Only the last line that is not empty counts: whoever wrote the text above it, an agent or a
    repository, can have put anything there. It must be exactly what `render_marker` writes.
    """
    last = body.rstrip().rpartition("\n")[2]
    match = _GRAMMAR.fullmatch(last)
    if match is None:
        return None
    try:
        values = [_decode(value) for value in match.groups()]
    except UnicodeDecodeError:
        return None
    marker = Marker(*values)
    return marker if render_marker(marker) == last else None


def _encode(value: str) -> str:
    if not value:
        return _EMPTY
    encoded = quote(value, safe=_PLAIN, errors="replace").replace("--", "-%2D")
    return encoded.replace("~", "%7E")


def _decode(value: str) -> str:
    return "" if value == _EMPTY else unquote(value, errors="strict")


def _short(value: str) -> str:
    if len(value) <= _LONGEST_VALUE:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{value[: _LONGEST_VALUE - 17]}~{digest}"
