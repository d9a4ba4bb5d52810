"""Read file names as git writes them in patches: prefixed, and quoted like C strings."""

import re

_QUOTED = re.compile(rb'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LETTERS = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r"}
_SELF = (b'"', b"\\")


class NameUnreadableError(Exception):
    """A name is not one that git would write."""


def unquote(text: bytes) -> tuple[bytes, int]:
    """Return the name that the quoted string at the start stands for, and how many bytes it took."""
    match = _QUOTED.match(text)
    if match is None:
        raise NameUnreadableError
    return _ESCAPE.sub(_unescaped, match[1]), match.end()


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, letter = match.groups()
    if octal is not None:
        return bytes([int(octal, 8)])
    if letter in _SELF:
        return letter
    if letter not in _LETTERS:
        raise NameUnreadableError
    return _LETTERS[letter]


def whole_name(text: bytes) -> bytes:
    """Return the name that takes the whole line, as in `rename from`."""
    if text.startswith(b'"'):
        name, used = unquote(text)
        odd = text[used:].strip() != b""
    else:
        name = text.removesuffix(b"\r")
        # Git quotes these, so a bare one is a trap for readers that end the name there.
        odd = _CONTROL.search(name) is not None
    if odd or not name:
        raise NameUnreadableError
    return name


def side_name(text: bytes) -> bytes | None:
    """Return the name of a `---` or `+++` line without its prefix; None for /dev/null."""
    # A tab ends a bare name; git puts one behind a name with spaces.
    name = whole_name(text if text.startswith(b'"') else text.partition(b"\t")[0])
    return None if name == b"/dev/null" else strip_prefix(name)


def strip_prefix(name: bytes) -> bytes:
    """Return the name without the `a/` or `b/` before it."""
    _, slash, rest = name.partition(b"/")
    if not slash or not rest:
        raise NameUnreadableError
    return rest


def common_name(text: bytes) -> bytes | None:
    """
    Return the name of a `diff --git` line whose two sides name the same file, else None.

    Bare names may hold spaces; with prefixes of one length, which git writes, only the middle
    can part them.
    """
    if text.startswith(b'"'):
        first, used = unquote(text)
        second = whole_name(text[used:].lstrip(b" \t"))
    elif b'"' in text:
        bare, _, _ = text.partition(b'"')
        first = bare.rstrip(b" \t")
        second = whole_name(text[len(bare) :])
    else:
        middle = len(text) // 2
        if text[middle : middle + 1] not in (b" ", b"\t"):
            return None
        first, second = text[:middle], text[middle + 1 :]
    name = strip_prefix(first)
    return name if name == strip_prefix(second) else None
