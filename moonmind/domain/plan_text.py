"""Turn the bytes of a tasks.md into lines and back, so that nothing but a chosen mark can change."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

# The largest of two thousand real task lists has 122 kB and 1,200 lines. What is far beyond
# that is no task list, and reading it would only cost the worker memory.
MAX_BYTES = 2 * 1024 * 1024
MAX_LINES = 50_000

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_LINE_END = re.compile(r"\r\n|\n|\r")
_UNDECODED = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class PlanText:
    """
    The decoded file; `encode` gives back its exact bytes.

    `readable` has the same length as `raw`, with U+FFFD for every byte that is no text,
    so that positions found in the one hold in the other.
    """

    raw: str
    readable: str
    encoding: str
    byte_order_mark: bytes

    @cached_property
    def spans(self) -> Sequence[tuple[int, int]]:
        """Start and end of each line, without its line end."""
        spans = []
        start = 0
        for end in _LINE_END.finditer(self.raw):
            spans.append((start, end.start()))
            start = end.end()
        if start < len(self.raw):
            spans.append((start, len(self.raw)))
        return spans

    def line(self, number: int) -> str:
        """Return the line with that number, counted from 1."""
        start, end = self.spans[number - 1]
        return self.readable[start:end]

    def line_at(self, position: int) -> int:
        """Return the number of the line that holds a position of the text."""
        return len(_LINE_END.findall(self.raw, 0, position)) + 1

    @property
    def garbled_lines(self) -> tuple[int, ...]:
        """The first few lines that hold bytes which are not text."""
        if self.raw == self.readable:
            return ()
        positions = (found.start() for _, found in zip(range(5), _UNDECODED.finditer(self.raw), strict=False))
        return tuple(dict.fromkeys(self.line_at(position) for position in positions))

    def encode(self, text: str) -> bytes:
        """Give the bytes of a changed text, in the encoding of this file."""
        errors = "surrogateescape" if self.encoding == "utf-8" else "surrogatepass"
        return self.byte_order_mark + text.encode(self.encoding, errors)


def decode_plan(content: bytes) -> PlanText:
    """
    Decode the file, whatever its line ends, byte order mark or stray bytes.

    Raises `WorkflowError` (`tasks_file_unreadable`) for what is too large or no text.
    """
    if len(content) > MAX_BYTES:
        _refuse(f"it has {len(content):,} bytes; a task list may have at most {MAX_BYTES:,}")
    text = _decoded(content)
    nul = text.raw.find("\x00")
    if nul >= 0:
        _refuse(
            f"line {text.line_at(nul)} holds a NUL character: the file is binary, or UTF-16 without a byte order mark"
        )
    # Counting characters first spares building a list of two million empty lines.
    most_lines = text.raw.count("\n") + text.raw.count("\r") + 1
    if most_lines > 2 * MAX_LINES or len(text.spans) > MAX_LINES:
        _refuse(f"it has more than {MAX_LINES:,} lines, which no task list has")
    return text


def _decoded(content: bytes) -> PlanText:
    encoding = _UTF16_MARKS.get(content[:2])
    if encoding is not None:
        if len(content) % 2:
            _refuse("it says that it is UTF-16, but ends in the middle of a character")
        raw = content[2:].decode(encoding, "surrogatepass")
        return PlanText(raw, _UNDECODED.sub("\N{REPLACEMENT CHARACTER}", raw), encoding, content[:2])
    mark = _UTF8_MARK if content.startswith(_UTF8_MARK) else b""
    raw = content[len(mark) :].decode("utf-8", "surrogateescape")
    return PlanText(raw, _UNDECODED.sub("\N{REPLACEMENT CHARACTER}", raw), "utf-8", mark)


def _refuse(reason: str) -> NoReturn:
    raise WorkflowError(FailureCode.TASKS_FILE_UNREADABLE, reason)
