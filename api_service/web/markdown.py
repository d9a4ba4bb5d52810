"""Read the little Markdown that pull requests are written in, as values that a template escapes."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# A character without width keeps forges from linking; on our own page nothing is linked by itself.
_BREAK = "\u200b"
_FENCE = re.compile(r"(`{3,})[^`]*")
_HEADING = re.compile(r"(#{1,6}) +(.*)")
_ITEM = re.compile(r"- (?:\[([ xX])\] )?(.*)")
_RULE = re.compile(r":?-+:?")
_CELL = re.compile(r"(?<!\\)\|")
_SPAN = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    # Bounded and without nesting, so that no text takes long to read.
    r"|(?P<code>(?<!`)(?P<fence>`+)(?!`)(?P<inside>.{1,1000}?)(?<!`)(?P=fence)(?!`))"
    r"|\*\*(?P<strong>(?:\\.|[^*\\])+)\*\*"
    r"|\[(?P<text>(?:\\.|[^\[\]\\])+)\]\((?P<address>https?://[^\s()<>\"']+)\)"
)


@dataclass(frozen=True)
class Span:
    """A piece of a line: `text`, `code`, `strong` or `link`; only a link has an address."""

    kind: str
    text: str
    address: str = ""


Line = Sequence[Span]


@dataclass(frozen=True)
class Block:
    """
    A piece of a document: `heading`, `paragraph`, `list`, `table` or `code`.

    A list has one line for each item and a mark for each: done, open, or None for no task. A
    table has rows of cells, the first being its heading; a row may have fewer cells than it.
    """

    kind: str
    lines: Sequence[Line] = ()
    marks: Sequence[bool | None] = ()
    rows: Sequence[Sequence[Line]] = ()
    text: str = ""
    level: int = 0


def read_markdown(text: str) -> Sequence[Block]:
    """Return the blocks of a text; what is not understood stays text, and no markup is let through."""
    return list(_blocks(text.replace("\r\n", "\n").split("\n")))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    position = 0
    while position < len(lines):
        line = lines[position]
        if not line.strip():
            position += 1
        elif fence := _FENCE.fullmatch(line):
            end = _end_of_code(lines, position + 1, fence.group(1))
            yield Block("code", text="\n".join(lines[position + 1 : end]))
            position = end + 1
        elif heading := _HEADING.fullmatch(line):
            yield Block("heading", lines=[_spans(heading.group(2))], level=len(heading.group(1)))
            position += 1
        elif _ITEM.fullmatch(line):
            end = _end_of(lines, position, lambda one: _ITEM.fullmatch(one) is not None)
            yield _list(lines[position:end])
            position = end
        elif position + 1 < len(lines) and line.startswith("|") and _is_rule(lines[position + 1]):
            end = _end_of(lines, position, lambda one: one.startswith("|"))
            yield _table([line, *lines[position + 2 : end]])
            position = end
        else:
            end = max(position + 1, _end_of(lines, position, _is_prose))
            yield Block("paragraph", lines=[_spans(" ".join(lines[position:end]))])
            position = end


def _is_rule(line: str) -> bool:
    return line.startswith("|") and all(_RULE.fullmatch(cell) for cell in _cells(line))


def _cells(line: str) -> Sequence[str]:
    return [cell.strip() for cell in _CELL.split(line.strip().removeprefix("|").removesuffix("|"))]


def _is_prose(line: str) -> bool:
    starts = (_FENCE.fullmatch(line), _HEADING.fullmatch(line), _ITEM.fullmatch(line))
    return bool(line.strip()) and not any(starts)


def _end_of(lines: Sequence[str], start: int, belongs: Callable[[str], bool]) -> int:
    end = start
    while end < len(lines) and belongs(lines[end]):
        end += 1
    return end


def _end_of_code(lines: Sequence[str], start: int, fence: str) -> int:
    closing = re.compile(rf"`{{{len(fence)},}} *")
    return _end_of(lines, start, lambda one: closing.fullmatch(one) is None)


def _list(lines: Sequence[str]) -> Block:
    items = [match for line in lines if (match := _ITEM.fullmatch(line))]
    marks = [None if item.group(1) is None else item.group(1) in "xX" for item in items]
    return Block("list", lines=[_spans(item.group(2)) for item in items], marks=marks)


def _table(lines: Sequence[str]) -> Block:
    rows = [[_spans(cell) for cell in _cells(line)] for line in lines]
    return Block("table", rows=[row[: len(rows[0])] for row in rows])


def _spans(text: str) -> Line:
    spans: list[Span] = []
    position = 0
    for match in _SPAN.finditer(text):
        spans.append(Span("text", text[position : match.start()]))
        spans.append(_span(match))
        position = match.end()
    spans.append(Span("text", text[position:]))
    return [Span(span.kind, span.text.replace(_BREAK, ""), span.address) for span in spans if span.text]


def _span(match: re.Match[str]) -> Span:
    if match["escape"]:
        return Span("text", match["escape"][1:])
    if match["code"]:
        inside = match["inside"]
        is_padded = inside.startswith(" `") or inside.endswith("` ")
        return Span("code", inside[1:-1] if is_padded else inside)
    if match["strong"]:
        return Span("strong", _unescaped(match["strong"]))
    return Span("link", _unescaped(match["text"]), match["address"])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
