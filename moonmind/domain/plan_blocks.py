"""Say which lines of a Markdown file are structure and which are only shown: code, comments, quotes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from moonmind.domain.plan_text import PlanText

_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_MARKER = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?=[ \t]|$)")
_RULE = re.compile(r"(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ATX = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_SETEXT = re.compile(r"(?:=+|-+)[ \t]*$")
_BLANKS = re.compile(r"[ \t]*")
_WRAPPER = re.compile(r"(?:`{3,}|~{3,})[ \t]*(?:markdown|md)[ \t]*$", re.IGNORECASE)
_COMMENT = "<!--"
_COMMENT_END = "-->"
_CODE_INDENT = 4
_TAB = 4
# `- - - x` is three items on one line; nobody writes more than a few.
_MAX_ITEMS_ON_A_LINE = 8


class LineKind(StrEnum):
    """What a line is to a reader of the rendered page."""

    TEXT = "text"
    ITEM = "item"
    HEADING = "heading"
    UNDERLINE = "underline"
    BLANK = "blank"
    RULE = "rule"
    FENCE = "code fence"
    COMMENT = "HTML comment"
    QUOTE = "quotation"
    CODE = "indented code"
    FRONT_MATTER = "front matter"


class Line(NamedTuple):
    """
    One classified line; `content` is where its text begins, behind indent and marker.

    A tuple, since a file has thousands of them and a frozen dataclass is made five times slower.
    """

    number: int
    kind: LineKind
    content: int
    indent: int = 0
    level: int = 0
    parent: int | None = None
    """Number of the line whose list item this line belongs to, if any."""
    opened_at: int | None = None
    """For code and comments: the line that opened them."""


@dataclass
class _Hidden:
    """An open code fence or comment, within the list item whose text starts at `column`."""

    kind: LineKind
    opened_at: int
    column: int
    indent: int = 0
    fence: str = ""

    def ends_with(self, line: str, indent: int) -> bool:
        """Tell whether this line, given from its first character on, is the closing one."""
        if self.kind is LineKind.COMMENT:
            return _COMMENT_END in line
        closing = line.rstrip(" \t")
        is_fence = len(closing) >= len(self.fence) and not closing.strip(self.fence[0])
        return is_fence and indent < max(self.column + _CODE_INDENT, self.indent + 1)

    def seems_forgotten(self, readable: str, content: int, end: int) -> bool:
        """Tell whether another fence of this kind opens in here, as when this one was never closed."""
        if self.kind is LineKind.COMMENT or not readable.startswith(self.fence, content, end):
            return False
        return bool(readable[content:end].strip(self.fence[0] + " \t"))


@dataclass
class BlockReader:
    """
    Reads lines in order and keeps the open blocks, as CommonMark describes them.

    Where people and agents commonly write what CommonMark would not take for a list, deeper
    indentation than it allows below an item, this takes it for a list nevertheless.
    """

    text: PlanText
    unclosed: _Hidden | None = None
    doubtful: set[int] = field(default_factory=set)
    """Lines of fences in which another one opens: probably never closed."""
    wrapped: bool = False
    _items: list[tuple[int, int]] = field(default_factory=list)
    """Open list items, outermost first: column of their text, number of their line."""
    _in_paragraph: bool = False

    def lines(self) -> Iterator[Line]:
        """Classify every line; afterwards `unclosed` tells what was never closed."""
        readable = self.text.readable
        first = self._skipped_front()
        for number, (start, end) in enumerate(self.text.spans, start=1):
            if number <= first:
                yield Line(number, LineKind.FRONT_MATTER, end)
            else:
                yield self._classify(number, readable, start, end)

    def _skipped_front(self) -> int:
        """Count the lines of YAML front matter, or the fence that somebody put around the whole file."""
        spans = self.text.spans
        if not spans:
            return 0
        if self.text.line(1).rstrip() == "---":
            closings = (n for n in range(2, len(spans) + 1) if self.text.line(n).rstrip() in ("---", "..."))
            return next(closings, 0)
        self.wrapped = _WRAPPER.match(self.text.line(1)) is not None and self._fence_spans_all()
        return int(self.wrapped)

    def _fence_spans_all(self) -> bool:
        """Tell a fence around the whole file from a sample at its top: it ends with the file, or never."""
        lines = [self.text.line(number).strip() for number in range(1, len(self.text.spans) + 1)]
        fences = [line for line in lines if line.startswith(("```", "~~~"))]
        closing = [fence for fence in fences if not fence.strip("`~")]
        last = next(line for line in reversed(lines) if line)
        return last in closing or 2 * len(closing) < len(fences)

    def _classify(self, number: int, readable: str, start: int, end: int) -> Line:
        content, indent = _indentation(readable, start, end)
        hidden = self.unclosed
        if hidden is not None and (content == end or indent >= hidden.column):
            if hidden.ends_with(readable[content:end], indent):
                self.unclosed = None
            elif hidden.seems_forgotten(readable, content, end):
                self.doubtful.add(hidden.opened_at)
            return Line(number, hidden.kind, content, parent=self._owner, opened_at=hidden.opened_at)
        self.unclosed = None  # the list item around it has ended, and with it the fence
        if content == end:
            self._in_paragraph = False
            return Line(number, LineKind.BLANK, content, parent=self._owner)
        if not self._items and indent >= _CODE_INDENT:
            kind = LineKind.TEXT if self._in_paragraph else LineKind.CODE
            return Line(number, kind, content, indent, opened_at=number)
        return self._block(number, readable, content, end, indent)

    def _block(self, number: int, readable: str, content: int, end: int, indent: int) -> Line:
        first = readable[content]
        if first in "-*_" and _RULE.match(readable, content, end) and not self._underlines(readable, content, end):
            return self._closing(Line(number, LineKind.RULE, content, indent))
        if first in "-*+0123456789" and _MARKER.match(readable, content, end):
            return self._item(number, readable, content, end, indent)
        if first in "`~" and (fence := _FENCE.match(readable, content, end)):
            line = self._closing(Line(number, LineKind.FENCE, content, indent, opened_at=number))
            self._hide(LineKind.FENCE, number, fence.group(1) or fence.group(3), indent)
            return line
        if first == "#" and (heading := _ATX.match(readable, content, end)):
            level = len(heading.group(1))
            return self._closing(Line(number, LineKind.HEADING, heading.end(), indent, level))
        if first == ">":
            return self._closing(Line(number, LineKind.QUOTE, content, indent, opened_at=number))
        if first in "=-" and self._underlines(readable, content, end):
            return self._closing(Line(number, LineKind.UNDERLINE, content, indent, 1 if first == "=" else 2))
        return self._text(number, readable, content, end, indent)

    def _underlines(self, readable: str, content: int, end: int) -> bool:
        """Tell whether this line makes the paragraph above it a heading."""
        return self._in_paragraph and not self._items and _SETEXT.match(readable, content, end) is not None

    def _closing(self, line: Line) -> Line:
        """Let a line end the paragraph and the list items that it does not belong to."""
        self._close_items(line.indent)
        self._in_paragraph = False
        return line._replace(parent=self._owner)

    def _item(self, number: int, readable: str, content: int, end: int, indent: int) -> Line:
        self._close_items(indent)
        parent = self._owner
        column = indent
        for _ in range(_MAX_ITEMS_ON_A_LINE):
            marker = _MARKER.match(readable, content, end)
            if marker is None:
                break
            after, width = _indentation(readable, marker.end(), end)
            column += marker.end() - content
            # A marker followed by deep indentation or nothing owns what starts one column on.
            column += width if 0 < width <= _CODE_INDENT and after < end else 1
            content = after
            self._items.append((column, number))
        self._in_paragraph = content < end
        if readable.startswith(_COMMENT, content, end):
            self._open_comment(number, readable, content, end)
        elif content < end and readable[content] in "`~" and (fence := _FENCE.match(readable, content, end)):
            self._hide(LineKind.FENCE, number, fence.group(1) or fence.group(3), indent)
        return Line(number, LineKind.ITEM, content, indent, parent=parent)

    def _text(self, number: int, readable: str, content: int, end: int, indent: int) -> Line:
        if not self._in_paragraph:
            self._close_items(indent)
        if readable.startswith(_COMMENT, content, end):
            self._close_items(indent)
            self._open_comment(number, readable, content, end)
            return Line(number, LineKind.COMMENT, content, indent, parent=self._owner, opened_at=number)
        self._in_paragraph = True
        return Line(number, LineKind.TEXT, content, indent, parent=self._owner)

    def _open_comment(self, number: int, readable: str, content: int, end: int) -> None:
        self._in_paragraph = False
        if readable.find(_COMMENT_END, content + len(_COMMENT), end) < 0:
            self._hide(LineKind.COMMENT, number)

    def _hide(self, kind: LineKind, number: int, fence: str = "", indent: int = 0) -> None:
        self._in_paragraph = False
        column = self._items[-1][0] if self._items else 0
        self.unclosed = _Hidden(kind, number, column, indent, fence)

    def _close_items(self, indent: int) -> None:
        """Leave the list items that a line with this indent does not belong to."""
        while self._items and self._items[-1][0] > indent:
            self._items.pop()

    @property
    def _owner(self) -> int | None:
        return self._items[-1][1] if self._items else None


def _indentation(readable: str, start: int, end: int) -> tuple[int, int]:
    """Find where a line's text begins, and at which column; tabs reach to every fourth one."""
    blanks = _BLANKS.match(readable, start, end)
    position = blanks.end() if blanks else start
    if readable.find("\t", start, position) < 0:
        return position, position - start
    return position, len(readable[start:position].expandtabs(_TAB))
