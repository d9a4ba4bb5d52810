"""Check that every relative link of the documents leads to a file, and every anchor to a heading."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
# Documents of other projects, kept as they are to be read by tests or shown by the demo.
NOT_OURS = ("tests", "moonmind", "var", "node_modules")
_HTML_ANCHOR = re.compile(r"<\w+[^>]*\b(?:id|name)=[\"']([^\"']+)[\"']")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


class Link(NamedTuple):
    """A link and the line of the block it stands in."""

    line: int
    target: str


def main() -> int:
    """Print every link that leads nowhere; return 1 when there is one."""
    broken = [f"{path.relative_to(ROOT)}:{problem}" for path in _documents() for problem in _problems(path)]
    for line in broken:
        print(line)
    return 1 if broken else 0


def _documents() -> list[Path]:
    everywhere = sorted(ROOT.rglob("*.md"))
    return [path for path in everywhere if not _is_left_out(path.relative_to(ROOT))]


def _is_left_out(path: Path) -> bool:
    return path.parts[0] in NOT_OURS or any(part.startswith(".") for part in path.parts)


def _problems(document: Path) -> Iterator[str]:
    for line, target in _links(document):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = (document.parent / unquote(parts.path)).resolve() if parts.path else document
        if not file.is_relative_to(ROOT):
            yield f"{line}: {target} leads out of the project"
        elif not file.exists():
            yield f"{line}: {target} leads to no file"
        elif parts.fragment and file.suffix == ".md" and unquote(parts.fragment) not in _anchors(file):
            yield f"{line}: {target} leads to no heading"


def _links(document: Path) -> Iterator[Link]:
    for block in _parse(document):
        line = block.map[0] + 1 if block.map else 0
        for token in block.children or []:
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                yield Link(line, str(target))


@cache
def _anchors(document: Path) -> set[str]:
    """Name the headings as GitHub does: a second one of the same text gets `-1`."""
    blocks = _parse(document)
    names = [_slug(text) for opening, text in pairwise(blocks) if opening.type == "heading_open"]
    seen: Counter[str] = Counter()
    anchors = set(_HTML_ANCHOR.findall(document.read_text(encoding="utf-8")))
    for name in names:
        anchors.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return anchors


def _slug(heading: Token) -> str:
    words = "".join(token.content for token in heading.children or [] if token.type in {"text", "code_inline"})
    return _NOT_IN_ANCHORS.sub("", words.strip().lower()).replace(" ", "-")


@cache
def _parse(document: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(document.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
