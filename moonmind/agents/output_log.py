"""
Keep what an agent says as JSON lines that stay readable whatever it says and however it ends.

Standard library only: the launcher runs without site packages.
"""

import json
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO

_CHUNK = 256 * 1024
# Codex writes lines of one mebibyte.
_LINE_LIMIT = 4 * 1024 * 1024
_TAIL_LIMIT = 1024 * 1024


class OutputLog:
    """One JSON object a line, flushed as it grows; a log that is full still ends with the last lines."""

    def __init__(self, path: Path, limit: int) -> None:
        self._file = path.open("ab")
        self._room = limit
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._left_out = 0

    def add(self, stream: str, **members: object) -> None:
        """
        Write one entry in ASCII, so that no byte of an agent can steer the terminal that shows it.

        Raises `ValueError` for what JSON cannot say.
        """
        entry = json.dumps({"at": _now(), "stream": stream, **members}, allow_nan=False).encode() + b"\n"
        if self._room >= len(entry) and not self._tail:
            self._room -= len(entry)
            self._file.write(entry)
            return
        if not self._tail:
            self._note("The log is full; of what follows only the last lines are kept.")
        self._tail.append(entry)
        self._tail_bytes += len(entry)
        while self._tail_bytes > _TAIL_LIMIT and len(self._tail) > 1:
            self._tail_bytes -= len(self._tail.popleft())
            self._left_out += 1

    def flush(self) -> None:
        """Let those who follow the file see what was added."""
        self._file.flush()

    def close(self) -> None:
        """Write the last lines of a log that became full."""
        if self._left_out:
            self._note(f"{self._left_out} lines are left out here.")
        self._file.writelines(self._tail)
        self._file.close()

    def _note(self, text: str) -> None:
        self._file.write(json.dumps({"at": _now(), "stream": "launcher", "note": text}).encode() + b"\n")


class OutputStream:
    """One output of the agent, cut into lines of bounded length."""

    def __init__(self, name: str, pipe: IO[bytes], log: OutputLog) -> None:
        os.set_blocking(pipe.fileno(), False)
        self.open = True
        self._name = name
        self._pipe = pipe
        self._log = log
        self._line = bytearray()
        self._cut = 0

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._pipe.fileno()

    def read(self) -> bool:
        """Take what is there now; False when there is nothing."""
        try:
            chunk = os.read(self._pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.close()
            return False
        first, *rest = chunk.split(b"\n")
        self._hold(first)
        for piece in rest:
            self._add()
            self._hold(piece)
        self._log.flush()
        return True

    def close(self) -> None:
        """Keep a last line that never got its end."""
        self.open = False
        if self._line or self._cut:
            self._add(partial=True)

    def _hold(self, piece: bytes) -> None:
        room = _LINE_LIMIT - len(self._line)
        self._line += piece[:room]
        self._cut += max(0, len(piece) - room)

    def _add(self, *, partial: bool = False) -> None:
        marks: dict[str, object] = {"partial": True} if partial else {}
        if self._cut:
            marks |= {"cut_bytes": self._cut, "note": "The line was too long; its end is left out."}
        text = self._line.decode(errors="replace").removesuffix("\r")
        self._line.clear()
        self._cut = 0
        if text.startswith("{"):
            # Deep nesting, NaN or an endless number: what JSON cannot say again stays a plain line.
            with suppress(ValueError, RecursionError):
                self._log.add(self._name, event=json.loads(text), **marks)
                return
        self._log.add(self._name, line=text, **marks)


def last_words(path: Path, *, stream: str | None = None, lines: int = 20, characters: int = 2000) -> str:
    """
    Return the last lines that are not empty, of one stream or of both, safe to show in a terminal.

    A log that is missing or whose last line was cut off by a crash is read as far as it goes.
    """
    found: deque[str] = deque()
    for raw in reversed(_end_of(path).splitlines()):
        with suppress(ValueError):
            entry = json.loads(raw)
            if entry["stream"] in ({stream} if stream else {"stdout", "stderr"}):
                text = _shown(entry["line"] if "line" in entry else json.dumps(entry["event"]))
                if text:
                    found.appendleft(text)
        if len(found) == lines:
            break
    words = "\n".join(found)
    return words if len(words) <= characters else "…" + words[1 - characters :]


def _end_of(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2 * _TAIL_LIMIT))
        return file.read()


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
