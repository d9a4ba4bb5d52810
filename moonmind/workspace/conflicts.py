"""Tell in git's own conflict markers where a patch and the base commit disagree."""

import re
import tempfile
from collections import defaultdict
from pathlib import Path

from moonmind.workspace.entries import Entry, index_entries
from moonmind.workspace.git import MEBIBYTE, Repository

_MOST_FILES = 50
_LONGEST_FILE = 8 * MEBIBYTE
_LONGEST_TEXT = 512 * 1024
_ERROR_CODES_START = 128
_SIDES = {2: "base commit", 1: "what the patch was made from", 3: "patch"}
_NAMES = (
    re.compile(r"^error: (?P<path>.+): (?:patch does not apply|does not exist in index|already exists in index)$"),
    re.compile(r"^error: (?P<path>.+): (?:No such file or directory|does not match index|wrong type)$"),
    re.compile(r"^error: cannot apply binary patch to '(?P<path>.+)' without full index line$"),
    re.compile(r"^error: cannot apply binary patch to '(?P<path>.+)'$"),
)


def named_paths(words: str) -> list[str]:
    """List the files that git says the patch does not fit, in order."""
    matches = (pattern.match(line) for line in words.splitlines() for pattern in _NAMES)
    return list(dict.fromkeys(match["path"] for match in matches if match))


def describe_conflict(index: Repository, words: str, *, scratch: Path) -> tuple[list[str], str]:
    """
    Return the files in conflict, and a text with git's words and each file's conflict markers.

    Reads the three sides from the index; files are only written to a folder of ours. The text is
    bounded, and says so where it was cut.
    """
    sides: defaultdict[str, dict[int, Entry]] = defaultdict(dict)
    for entry in index_entries(index.run("ls-files", "--unmerged", "-z").stdout):
        sides[entry.path][entry.stage] = entry
    paths = list(dict.fromkeys([*sides, *named_paths(words)]))
    text = words.strip() + "\n"
    for path in list(sides)[:_MOST_FILES]:
        text += f"\n=== {_printable(path)} ===\n{_merged(index, sides[path], scratch)}"
        if len(text) > _LONGEST_TEXT:
            break
    if len(text) > _LONGEST_TEXT or len(sides) > _MOST_FILES:
        text = text[:_LONGEST_TEXT] + "\n=== cut here; there is more ===\n"
    return [_printable(path) for path in paths], text


def _merged(index: Repository, sides: dict[int, Entry], scratch: Path) -> str:
    if not all(entry.is_regular for entry in sides.values()):
        return "(a link or a submodule; there is nothing to merge)\n"
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for stage in _SIDES:
            content = b""
            if stage in sides:
                content = index.run("cat-file", "blob", sides[stage].object_id, limit=_LONGEST_FILE).stdout
            (Path(folder) / str(stage)).write_bytes(content)
        labels = [word for name in _SIDES.values() for word in ("-L", name)]
        files = [str(Path(folder) / str(stage)) for stage in _SIDES]
        merge = index.run("merge-file", "-p", "--diff3", *labels, "--", *files, accept=range(256), limit=_LONGEST_TEXT)
    if merge.code >= _ERROR_CODES_START:
        return "(a binary file; there is nothing to merge)\n"
    return merge.stdout.decode(errors="replace")


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode().translate(dict.fromkeys(range(32), "?"))
