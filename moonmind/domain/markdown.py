"""Put foreign text into Markdown so that it can be read and does nothing else."""

import re
import unicodedata
from collections.abc import Iterable

# Forges make links, mentions and e-mail addresses after Markdown is rendered, so that neither a
# backslash nor an entity stops them; a character without width inside of them does.
_BREAK = "\u200b"
_MENTION = re.compile(r"@(?=\S)")
_REFERENCE = re.compile(r"#(?=[0-9])|\bGH-(?=[0-9])", re.IGNORECASE)
_ADDRESS = re.compile(r":(?=//)|\bwww(?=\.)", re.IGNORECASE)

_PUNCTUATION = re.compile(r"[\\`*\[\]<>|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_CODE = re.compile(r"(?<!`)`(?! ?`)([^`]+)`(?!`)")
_BLOCK = re.compile(r"^([0-9]*)([-+=#.)])")
# A longer run would only make the fence around it longer.
_LONGEST_FENCE = re.compile(r"`{9,}")
_JOINERS = "\u200c\u200d"
_ELLIPSIS = "…"


def one_line(text: str) -> str:
    """Return the text as one line without control, direction or invisible characters."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join("".join(_visible(character) for character in text).split())


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    if category == "Cs" or (category == "Cf" and character not in _JOINERS):
        return ""
    return character


def clip(text: str, limit: int) -> str:
    """Return at most `limit` characters; what was cut ends with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + _ELLIPSIS


def short_line(text: str, limit: int) -> str:
    """Return one line of at most `limit` characters; a text of any size costs no more than its start."""
    return clip(one_line(text[: 4 * limit]), limit)


def inert(text: str) -> str:
    """Return one line in which a forge finds no mention, no issue number and no address."""
    line = _MENTION.sub("@" + _BREAK, one_line(text))
    return _ADDRESS.sub(_broken, _REFERENCE.sub(_broken, line))


def _broken(match: re.Match[str]) -> str:
    return match.group() + _BREAK


def inline(text: str) -> str:
    """
    Return one line of Markdown that reads like the text and has no mark-up but code spans.

    It may stand at the start of a line: it begins no heading, list or quote.
    """
    parts = _CODE.split(one_line(text))
    line = "".join(code_span(part) if index % 2 else _escaped(part) for index, part in enumerate(parts))
    return _BLOCK.sub(r"\1\\\2", line, count=1)


def _escaped(text: str) -> str:
    # Splitting at code spans must not join words, so the outer spaces stay.
    before = " " if text.startswith(" ") else ""
    after = " " if text.endswith(" ") and text.strip() else ""
    return before + _PUNCTUATION.sub(r"\\\g<0>", inert(text)) + after


def code_span(text: str) -> str:
    """Return a code span that holds the text, whatever backticks are in it."""
    line = one_line(text)
    if not line:
        return "(nothing)"
    fence = "`" * (_longest_run(line) + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def table_code(text: str) -> str:
    """Return a code span for a table's cell, in which no bar can end the cell."""
    # A bar ends a cell even inside a code span, and forges differ over a backslash before it.
    return code_span(text.replace("|", "¦"))


def fenced(text: str) -> str:
    """Return a code block that holds the text's lines, whatever fences are in it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    cleaned = _LONGEST_FENCE.sub("`" * 8, "\n".join(_keep_indent(line) for line in lines).strip("\n"))
    fence = "`" * max(3, _longest_run(cleaned) + 1)
    return f"{fence}\n{cleaned}\n{fence}"


def _keep_indent(line: str) -> str:
    return "".join(character if character == "\t" else _visible(character) for character in line).rstrip()


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def bounded_lines(lines: Iterable[str], *, limit: int, more: str) -> list[str]:
    """
    Return the first lines that fit into `limit` characters.

    Where some are left out, a last line says so: `more` with their number for `{count}`.
    """
    everything = list(lines)
    used = 0
    for index, line in enumerate(everything):
        used += len(line) + 1
        if used > limit:
            return [*everything[:index], more.format(count=len(everything) - index)]
    return everything
