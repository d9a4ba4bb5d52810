"""Tell which paths no patch may touch, on any of the file systems that a clone may land on."""

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase

_LONGEST_NAME_BYTES = 255
_LONGEST_PATH_BYTES = 4096
# Controls, escapes, direction overrides, zero-width characters, lone surrogates, line separators:
# nobody sees them in a review, and terminals and log readers obey some of them.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Windows knows long names by such aliases too (`GIT~1` is `.git`), and one cannot tell which.
_SHORT_ALIAS = re.compile(r"[^.]{1,6}~[0-9]+(\.[^.]{0,3})?")
_SHOWN_CHARACTERS = 160


def name_fault(path: str) -> str | None:
    """Return the name of the first rule that a path breaks by its form, None for a sound one."""
    parts = path.split("/")
    checks = (
        ("path-outside", not path or any(part in ("", ".", "..") for part in parts) or re.match("[A-Za-z]:", path)),
        ("control-character", any(unicodedata.category(character) in _UNSEEN for character in path)),
        ("backslash", "\\" in path),
        ("name-too-long", _is_too_long(path, parts)),
        ("git-folder", any(plain_name(part) == ".git" for part in parts)),
        ("trailing-dot-or-space", any(part != part.rstrip(" .") for part in parts)),
        ("short-alias", any(_SHORT_ALIAS.fullmatch(part) for part in parts)),
    )
    return next((rule for rule, broken in checks if broken), None)


def _is_too_long(path: str, parts: Sequence[str]) -> bool:
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in (path, *parts)]
    return sizes[0] > _LONGEST_PATH_BYTES or max(sizes[1:]) > _LONGEST_NAME_BYTES


def plain_name(name: str) -> str:
    r"""
    Return what a name means where upper case, unseen characters or trailing dots do not count.

    macOS and Windows treat `.GIT`, `.g\u200cit`, `.git.` and `.git::$INDEX` as `.git`; git's own
    protections for both (core.protectHFS, core.protectNTFS) are covered, and look-alike letters too.
    """
    seen = "".join(character for character in name if unicodedata.category(character) not in _UNSEEN)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    plain = folded.partition(":")[0].rstrip(" .")
    return ".git" if re.fullmatch(r"git~[0-9]+", plain) else plain


class ProtectedPaths:
    """
    Globs of paths, matched without regard to case.

    `**` stands for any number of folders, `*` and `?` for a part of one name. A glob without a slash
    matches in every folder, one with a slash from the top; all below a matching folder is covered.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = [(glob, _glob_parts(glob)) for glob in globs]

    def match(self, path: str) -> str | None:
        """Return the first glob that covers the path."""
        parts = [plain_name(part) for part in path.split("/")]
        return next((glob for glob, pattern in self._globs if _covers(pattern, parts)), None)


def _glob_parts(glob: str) -> list[str]:
    anchored = "/" in glob.rstrip("/")
    parts = [part if part == "**" else plain_name(part) for part in glob.split("/") if part not in ("", ".")]
    return [*([] if anchored else ["**"]), *parts, "**"]


def _covers(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Match greedily: going back to the latest `**` is enough, so hostile globs cost no more than n times m."""
    at = here = 0
    latest, tried = -1, 0
    while at < len(parts):
        if here < len(pattern) and pattern[here] == "**":
            latest, tried = here, at
            here += 1
        elif here < len(pattern) and fnmatchcase(parts[at], pattern[here]):
            at += 1
            here += 1
        elif latest >= 0:
            tried += 1
            at, here = tried, latest + 1
        else:
            return False
    return all(part == "**" for part in pattern[here:])


def printable(path: str) -> str:
    """Return a path that is safe to show: unseen characters escaped, long ones cut."""
    shown = "".join(
        character if unicodedata.category(character) not in _UNSEEN else f"\\u{ord(character):04x}"
        for character in path[: _SHOWN_CHARACTERS + 1]
    )
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
