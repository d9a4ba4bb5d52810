"""Keep secrets out of logs, artifacts and messages."""

from collections.abc import Iterable
from typing import BinaryIO

from moonmind.domain.secrets import LONGEST_SECRET_BYTES, Unescaped, find_secrets, spellings

_SHORTEST_KNOWN = 6
_KNOWN = "known-secret"
_CHUNK = 1024 * 1024
# What a rule looks at before the secret itself, such as the scheme and user before a password.
_CONTEXT = 256
_LONGEST_ESCAPE = len("\\u0041")

_Span = tuple[int, int, str]


class Redactor:
    """
    Replaces secrets by `[redacted:<rule>]`: those it is told, and all that look like one.

    A known secret is found in the usual spellings too (JSON, URL, HTML, base64). One of fewer than
    six characters is left alone, since it could not be told from an ordinary word.
    Redacting twice changes nothing more.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = {value for value in known if len(value) >= _SHORTEST_KNOWN}
        written = {spelling for value in values for spelling in spellings(value)}
        self._known = tuple(sorted(written))
        longest = max((len(spelling) for spelling in written), default=0)
        self._overlap = _LONGEST_ESCAPE * max(LONGEST_SECRET_BYTES, longest)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def data(self, data: bytes) -> bytes:
        """Return the bytes without secrets; what is not text stays as it is."""
        return _replaced(data, self._spans(data), 0, len(data))

    def file(self, source: BinaryIO, target: BinaryIO) -> None:
        """Copy without secrets, in bounded memory; the result is that of `data` on the whole."""
        window, done = b"", 0
        while chunk := source.read(max(_CHUNK, 2 * self._overlap)):
            window += chunk
            spans = self._spans(window)
            # What begins before this point has its end in the window, whatever comes next.
            cut = max(done, len(window) - self._overlap)
            for start, end, _ in spans:
                if start < cut < end:
                    cut = max(done, start)
            target.write(_replaced(window, spans, done, cut))
            kept = max(0, cut - _CONTEXT)
            window, done = window[kept:], cut - kept
        target.write(_replaced(window, self._spans(window), done, len(window)))

    def _spans(self, data: bytes) -> list[_Span]:
        """Return the places to hide, in order and without overlap."""
        spans = self._spans_in(data)
        unescaped = Unescaped(data)
        if unescaped.changed:
            spans += [
                (unescaped.original(start), unescaped.original(end), label)
                for start, end, label in self._spans_in(unescaped.data)
            ]
        return _without_overlap(spans)

    def _spans_in(self, data: bytes) -> list[_Span]:
        spans = [(found.start, found.end, found.rule.name) for found in find_secrets(data)]
        for spelling in self._known:
            at = data.find(spelling)
            while at >= 0:
                spans.append((at, at + len(spelling), _KNOWN))
                at = data.find(spelling, at + len(spelling))
        return spans


def _without_overlap(spans: list[_Span]) -> list[_Span]:
    apart: list[_Span] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        if apart and start < apart[-1][1]:
            before, until, first = apart[-1]
            apart[-1] = (before, max(until, end), first)
        else:
            apart.append((start, end, label))
    return apart


def _replaced(data: bytes, spans: list[_Span], start: int, stop: int) -> bytes:
    pieces: list[bytes] = []
    at = start
    for begin, end, label in spans:
        if end <= at or begin >= stop:
            continue
        pieces += (data[at:begin], f"[redacted:{label}]".encode())
        at = end
    pieces.append(data[at:stop])
    return b"".join(pieces)
