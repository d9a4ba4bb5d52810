"""Make text of strangers safe to print: titles, logs and messages could carry orders to the terminal."""

import unicodedata

_KEPT = frozenset("\u200c\u200d")  # Joiners that Persian, Hindi and emoji need; they move nothing.
_ORDERS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def harmless(text: str) -> str:
    r"""Return one printable line: a tab becomes spaces, other control and format characters show as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def harmless_lines(text: str) -> list[str]:
    """Split at line ends and make each line harmless."""
    return [harmless(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n")]


def _shown(character: str) -> str:
    if character == "\t":
        return "    "
    if character in _KEPT or unicodedata.category(character) not in _ORDERS:
        return character
    return character.encode("unicode_escape").decode("ascii")
