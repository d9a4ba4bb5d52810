"""Read the agent's log, JSON lines, and say each line so that a person can follow it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from moonmind.cli.harmless import harmless, harmless_lines
from moonmind.cli.json_values import Document, documents, mapping, number, raw_text

_LONGEST_LINE = 1024 * 1024


@dataclass
class LineCutter:
    """Puts lines together from parts that end anywhere."""

    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, part: bytes) -> Iterator[str]:
        """Return the lines that are whole now; one that never ends is cut, so that memory stays bounded."""
        self._rest += part
        *whole, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        if len(self._rest) > _LONGEST_LINE:
            whole.append(self._rest)
            self._rest = bytearray()
        return (_decoded(line) for line in whole if line)

    def finish(self) -> Iterator[str]:
        """Return what is left without a line end."""
        rest, self._rest = self._rest, bytearray()
        return iter([_decoded(rest)] if rest else [])


def log_lines(line: str) -> list[str]:
    """Say one line of the log in harmless lines; one that cannot be read is shown as it is."""
    entry = _parsed(line)
    if entry is None:
        return [harmless(line)]
    event = entry.get("event")
    if isinstance(event, dict):
        return _event_lines(event)
    if isinstance(event, str):
        extra = {name: value for name, value in entry.items() if name not in {"at", "event"}}
        return [harmless(f"-- {event} {json.dumps(extra, ensure_ascii=False) if extra else ''}".rstrip())]
    if "line" not in entry:
        return _event_lines(entry)
    words = raw_text(entry.get("line"))
    nested = _parsed(words)
    if nested is not None and "type" in nested:
        return _event_lines(nested)
    mark = "! " if entry.get("stream") == "stderr" else ""
    return [f"{mark}{part}" for part in harmless_lines(words)]


def log_entry(line: str) -> Document:
    """Return one line of the log as it was stored; one that is no JSON object becomes `{"line": ...}`."""
    return _parsed(line) or {"line": line}


def _event_lines(event: Document) -> list[str]:
    """Say an event of the agent; a kind that is not known here is shown as JSON."""
    kind = raw_text(event.get("type"))
    item = mapping(event.get("item"))
    if kind.startswith("item."):
        return _item_lines(kind, item)
    if kind == "turn.completed":
        usage = mapping(event.get("usage"))
        tokens = f"{number(usage.get('input_tokens')):,} in, {number(usage.get('output_tokens')):,} out"
        return [f"-- turn completed, tokens: {tokens}"]
    if kind in {"turn.failed", "error"}:
        words = raw_text(mapping(event.get("error")).get("message")) or raw_text(event.get("message"))
        return [f"! {part}" for part in harmless_lines(words or kind)]
    if kind in {"thread.started", "turn.started"}:
        return [f"-- {kind.replace('.', ' ')}"]
    return [harmless(json.dumps(event, ensure_ascii=False))]


def _item_lines(kind: str, item: Document) -> list[str]:
    item_type = raw_text(item.get("type"))
    if item_type == "command_execution":
        return _command_lines(kind, item)
    if kind != "item.completed":
        return []
    if item_type in {"agent_message", "reasoning"}:
        return harmless_lines(raw_text(item.get("text")))
    if item_type == "file_change":
        return [
            harmless(f"~ {raw_text(change.get('kind'))} {raw_text(change.get('path'))}")
            for change in documents(item.get("changes"))
        ]
    if item_type == "error":
        return [f"! {part}" for part in harmless_lines(raw_text(item.get("message")))]
    return [harmless(json.dumps(item, ensure_ascii=False))]


def _command_lines(kind: str, item: Document) -> list[str]:
    if kind == "item.started":
        return [f"$ {part}" for part in harmless_lines(raw_text(item.get("command")))]
    if kind != "item.completed":
        return []
    output = harmless_lines(raw_text(item.get("aggregated_output")))
    code = number(item.get("exit_code"))
    return [*(f"  {part}" for part in output if part), *([f"! exit code {code}"] if code else [])]


def _parsed(line: str) -> Document | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _decoded(line: bytes | bytearray) -> str:
    return line.decode(errors="replace").removesuffix("\r")
