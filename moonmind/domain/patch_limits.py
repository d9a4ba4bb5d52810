"""Hold what a patch may do, and let a repository ask for less of it."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

POLICY_FILE = ".moonmind.toml"

_MEBIBYTE = 1024 * 1024
# The parser's time grows with the square of what it is given; this much takes it half a second at worst.
_LARGEST_FILE_BYTES = 8 * 1024
_LARGEST_NUMBER = 2**63 - 1
_MOST_GLOBS = 200
_LONGEST_GLOB = 256

DEFAULT_PROTECTED_PATHS = (
    # The forge runs these with the repository's secrets, before anybody has read the change.
    ".github/workflows/**",
    ".github/actions/**",
    # They decide who has to read the change; the forge looks in these three places.
    "/CODEOWNERS",
    ".github/CODEOWNERS",
    "docs/CODEOWNERS",
    # The next agent obeys them, or starts programs that they name.
    ".codex/**",
    ".claude/settings*.json",
    ".mcp.json",
    # A developer's editor or shell runs these when the folder is opened or entered.
    ".vscode/tasks.json",
    ".envrc",
    # A clone fetches from the addresses in it.
    ".gitmodules",
    # Otherwise an agent could lift the repository's own limits for the next one.
    f"/{POLICY_FILE}",
)
"""
What no patch may touch unless an operator says otherwise.

`.gitattributes` is not among them, since most changes to it are harmless; lines that make git run a
filter, diff or merge program are refused by their content.
"""


@dataclass(frozen=True)
class PatchPolicy:
    """What a patch may do; sizes in bytes."""

    max_bytes: int = 10 * _MEBIBYTE
    """Of the patch, and of all its binary content together once unpacked."""
    max_files: int = 2_000
    allow_binary: bool = True
    max_binary_bytes: int = _MEBIBYTE
    """Of one binary file once unpacked."""
    allow_executable: bool = True
    """Whether files may become executable, as scripts have to; nothing that is merged runs by that alone."""
    protected_paths: tuple[str, ...] = DEFAULT_PROTECTED_PATHS
    known_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that must not appear in added lines, beside all that looks like a secret."""
    warnings: tuple[str, ...] = ()
    """What a repository's policy file asked for in vain."""


def tighten(policy: PatchPolicy, content: bytes) -> PatchPolicy:
    """
    Return the policy as `.moonmind.toml` narrows it.

    The file belongs to those whom the policy has to hold, so it can only take away: a line that would
    allow more is left out with a warning. Raises `policy_file_invalid`, since a limit that was
    misspelt would otherwise protect nothing; tables other than `[patch]` are not looked at.
    """
    wanted = _patch_table(content)
    unknown = set(wanted) - _KNOWN
    if unknown:
        _refuse_file(f"has unknown lines in [patch]: {', '.join(sorted(unknown))[:_LONGEST_GLOB]}")
    narrower = replace(
        policy,
        max_bytes=_fewer(wanted, "max_bytes", policy.max_bytes),
        max_files=_fewer(wanted, "max_files", policy.max_files),
        max_binary_bytes=_fewer(wanted, "max_binary_bytes", policy.max_binary_bytes),
        allow_binary=_stricter(wanted, "allow_binary", current=policy.allow_binary),
        allow_executable=_stricter(wanted, "allow_executable", current=policy.allow_executable),
        protected_paths=tuple(dict.fromkeys((*policy.protected_paths, *_globs(wanted)))),
    )
    return replace(narrower, warnings=(*policy.warnings, *_warnings(wanted, narrower)))


_KNOWN = frozenset(
    {"max_bytes", "max_files", "max_binary_bytes", "allow_binary", "allow_executable", "protected_paths"}
)


def _warnings(wanted: Mapping[str, object], narrower: PatchPolicy) -> Iterator[str]:
    for name in sorted(set(wanted) - {"protected_paths"}):
        kept = getattr(narrower, name)
        if kept != wanted[name]:
            yield f"{POLICY_FILE} asks for {name} = {wanted[name]}, but can only take away; it stays {kept}."


def _fewer(wanted: Mapping[str, object], name: str, current: int) -> int:
    value = wanted.get(name, current)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_NUMBER:
        _refuse_file(f"needs a whole number for {name}")
    return min(value, current)


def _stricter(wanted: Mapping[str, object], name: str, *, current: bool) -> bool:
    value = wanted.get(name, current)
    if not isinstance(value, bool):
        _refuse_file(f"needs true or false for {name}")
    return value and current


def _patch_table(content: bytes) -> Mapping[str, object]:
    if len(content) > _LARGEST_FILE_BYTES:
        _refuse_file(f"is larger than {_LARGEST_FILE_BYTES // 1024} KiB")
    try:
        table = tomllib.loads(content.decode("utf-8-sig")).get("patch", {})
    except RecursionError:
        _refuse_file("is nested too deeply")
    except ValueError as error:
        _refuse_file(f"is not valid TOML: {error}")
    if not isinstance(table, dict):
        _refuse_file("needs a table [patch]")
    return table


def _globs(wanted: Mapping[str, object]) -> list[str]:
    value = wanted.get("protected_paths", [])
    globs = value if isinstance(value, list) else []
    sound = [glob for glob in globs if isinstance(glob, str) and 0 < len(glob) <= _LONGEST_GLOB]
    if not isinstance(value, list) or len(sound) < len(globs) or len(globs) > _MOST_GLOBS:
        _refuse_file(
            f"needs a list of at most {_MOST_GLOBS} globs of at most {_LONGEST_GLOB} characters for protected_paths"
        )
    return sound


def _refuse_file(what: str) -> NoReturn:
    raise WorkflowError(FailureCode.POLICY_FILE_INVALID, f"{POLICY_FILE} in the base commit {what}.", file=POLICY_FILE)
