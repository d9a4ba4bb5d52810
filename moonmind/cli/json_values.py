"""Read values out of the service's JSON without trusting their types."""

from collections.abc import Mapping, Sequence

from moonmind.cli.harmless import harmless

Document = Mapping[str, object]

_LONGEST = 4000


def text(value: object) -> str:
    """Return a string made harmless and cut to a length a terminal can bear, nothing for other values."""
    return harmless(value[:_LONGEST]) if isinstance(value, str) else ""


def raw_text(value: object) -> str:
    """Return a string as it was sent, nothing for other values; not for printing."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int:
    """Return a whole number, zero for other values."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def mapping(value: object) -> Document:
    """Return a JSON object, an empty one for other values."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """Return a JSON array, an empty one for other values."""
    return value if isinstance(value, list) else ()


def documents(value: object) -> list[Document]:
    """Return the objects of a JSON array."""
    return [item for item in sequence(value) if isinstance(item, dict)]
