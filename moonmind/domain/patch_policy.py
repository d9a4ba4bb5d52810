"""Refuse patches that do what an agent must not do, before they are applied and before they are pushed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_entries import PatchEntry, PatchSummary
from moonmind.domain.patch_limits import DEFAULT_PROTECTED_PATHS, POLICY_FILE, PatchPolicy, tighten
from moonmind.domain.patch_reading import read_patch
from moonmind.domain.path_rules import ProtectedPaths, name_fault, plain_name, printable
from moonmind.domain.results import FileChange
from moonmind.domain.secrets import Unescaped, find_certain_secrets, spellings

__all__ = [
    "DEFAULT_PROTECTED_PATHS",
    "POLICY_FILE",
    "PatchPolicy",
    "PatchSummary",
    "check_changes",
    "check_patch",
    "hide_secrets",
    "read_patch",
    "tighten",
]

_LINK = "120000"
_SUBMODULE = "160000"
_EXECUTABLE = "100755"
_NO_FILE = frozenset({"", "000000"})
_FILE_MODES = frozenset({"100644", _EXECUTABLE})
# Git starts the program that these name; `[attr]` macros hold the same words.
_ATTRIBUTE = re.compile(rb"(?i)\b(?:filter|diff|merge|working-tree-encoding)=")
_ADDED = re.compile(rb"^\+[^\n]*", re.MULTILINE)
_GIT_ATTRIBUTE = "git-attribute"
_NAMED_VIOLATIONS = 5


@dataclass(frozen=True)
class _Violation:
    rule: str
    path: str
    line: int | None = None
    note: str = ""
    is_secret: bool = False

    def __str__(self) -> str:
        place = printable(self.path) + (f":{self.line}" if self.line else "")
        return f"{place} ({self.rule}{f': {self.note}' if self.note else ''})"


@dataclass(frozen=True)
class _Touch:
    """What both kinds of input have in common: paths, modes, and whether the content is binary."""

    paths: Sequence[str]
    old_mode: str
    new_mode: str
    deleted: bool
    binary: bool


def check_patch(patch: bytes, policy: PatchPolicy) -> PatchSummary:
    """
    Read a patch and make sure that nothing in it breaks the policy.

    Raises `patch_too_large`, `patch_unreadable`, or `patch_refused` with all violations counted and
    the first few named by file and rule; a secret's own text is never shown, but the fact `secret`
    says whether there is one.
    """
    _check_size(len(patch), policy, "is")
    summary = read_patch(patch)
    _check_size(summary.unpacked_bytes, policy, "unpacks to")
    protected = ProtectedPaths(policy.protected_paths)
    content = _ContentCheck(policy)
    violations = list(_too_many(len(summary.entries), policy))
    for entry in summary.entries:
        touch = _Touch(entry.paths, entry.old_mode, entry.new_mode, entry.deleted, entry.binary)
        violations += _touch_violations(touch, policy, protected)
        violations += content.violations(entry)
    _refuse(violations)
    return summary


def hide_secrets(patch: bytes, policy: PatchPolicy) -> bytes:
    """
    Return the patch without the added lines of every file to which it adds a secret.

    All of the file's lines go, since a secret may run over several. Raises `patch_unreadable`.
    """
    content = _ContentCheck(policy)
    pieces: list[bytes] = []
    at = 0
    for entry in read_patch(patch).entries:
        if not content.has_secret(entry):
            continue
        for hunk in entry.hunks:
            lines = patch[hunk.start : hunk.end]
            pieces += [patch[at : hunk.start], _ADDED.sub(b"+[redacted]", lines)]
            at = hunk.end
    return b"".join(pieces) + patch[at:]


def check_changes(changes: Sequence[FileChange], policy: PatchPolicy) -> None:
    """
    Check once more what git made of the patch; the words of a patch are not always what git reads.

    Raises `patch_refused` as `check_patch` does. Content is not looked at again.
    """
    protected = ProtectedPaths(policy.protected_paths)
    violations = list(_too_many(len(changes), policy))
    for change in changes:
        deleted = change.status == "D" or change.new_mode == "000000"
        touch = _Touch((change.path,), change.old_mode, change.new_mode, deleted, change.binary)
        violations += _touch_violations(touch, policy, protected)
    _refuse(violations)


def _check_size(size: int, policy: PatchPolicy, verb: str) -> None:
    if size > policy.max_bytes:
        detail = f"The patch {verb} {size:,} bytes; the limit is {policy.max_bytes:,}."
        raise WorkflowError(FailureCode.PATCH_TOO_LARGE, detail, size=size, limit=policy.max_bytes)


def _too_many(files: int, policy: PatchPolicy) -> Iterator[_Violation]:
    if files > policy.max_files:
        yield _Violation("too-many-files", f"{files:,} files", note=f"at most {policy.max_files:,}")


def _touch_violations(touch: _Touch, policy: PatchPolicy, protected: ProtectedPaths) -> Iterator[_Violation]:
    for path in touch.paths:
        if fault := name_fault(path):
            yield _Violation(fault, path)
        if glob := protected.match(path):
            yield _Violation("protected-path", path, note=glob)
    path = touch.paths[-1]
    yield from _mode_violations(touch, policy, path)
    if touch.binary and not touch.deleted and not policy.allow_binary:
        yield _Violation("binary-file", path)


def _mode_violations(touch: _Touch, policy: PatchPolicy, path: str) -> Iterator[_Violation]:
    if _SUBMODULE in (touch.old_mode, touch.new_mode):
        yield _Violation("submodule", path)
    # A link may go, but neither come nor point elsewhere.
    elif touch.new_mode == _LINK and not touch.deleted:
        yield _Violation("symbolic-link", path)
    elif touch.new_mode not in _FILE_MODES | _NO_FILE | {_LINK}:
        yield _Violation("file-mode", path, note=touch.new_mode)
    elif touch.new_mode == _EXECUTABLE != touch.old_mode and not policy.allow_executable:
        yield _Violation("executable", path)


class _ContentCheck:
    """Looks for secrets and for attributes that start programs in the lines that a patch adds."""

    def __init__(self, policy: PatchPolicy) -> None:
        self._policy = policy
        self._known = sorted({spelling for value in policy.known_secrets for spelling in spellings(value)})

    def violations(self, entry: PatchEntry) -> Iterator[_Violation]:
        if entry.unpacked_bytes > self._policy.max_binary_bytes:
            yield _Violation("binary-too-large", entry.path, note=f"{entry.unpacked_bytes:,} bytes")
        text = _added_text(entry)
        found = set(self._secrets(text))
        if plain_name(entry.path.rpartition("/")[2]) == ".gitattributes":
            found |= {(match.start(), _GIT_ATTRIBUTE) for match in _ATTRIBUTE.finditer(text)}
        yield from _placed(entry, sorted(found))

    def has_secret(self, entry: PatchEntry) -> bool:
        """Say whether one of the added lines holds a secret."""
        return next(self._secrets(_added_text(entry)), None) is not None

    def _secrets(self, text: bytes) -> Iterator[tuple[int, str]]:
        unescaped = Unescaped(text)
        for secret in find_certain_secrets(text):
            yield secret.start, secret.rule.name
        if unescaped.changed:
            for secret in find_certain_secrets(unescaped.data):
                yield unescaped.original(secret.start), secret.rule.name
        for spelling in self._known:
            at = text.find(spelling)
            if at >= 0:
                yield at, "known-secret"


def _added_text(entry: PatchEntry) -> bytes:
    # One growing text: a list of millions of short lines would take many times their size.
    text = bytearray()
    for _, line in entry.added_lines():
        text += line
        text += b"\n"
    return bytes(text)


def _placed(entry: PatchEntry, found: Sequence[tuple[int, str]]) -> Iterator[_Violation]:
    """Say in which line each find is, once for each line and rule; the finds are sorted by position."""
    seen: set[tuple[int, str]] = set()
    end, lines, number = 0, entry.added_lines(), 0
    for position, rule in found:
        while end <= position:
            number, line = next(lines)
            end += len(line) + 1
        if (number, rule) not in seen:
            seen.add((number, rule))
            yield _Violation(rule, entry.path, line=number, is_secret=rule != _GIT_ATTRIBUTE)


def _refuse(violations: Sequence[_Violation]) -> None:
    if not violations:
        return
    first = violations[0]
    named = "; ".join(str(violation) for violation in violations[:_NAMED_VIOLATIONS])
    more = f"; and {len(violations) - _NAMED_VIOLATIONS:,} more" if len(violations) > _NAMED_VIOLATIONS else ""
    rules = "a rule" if len(violations) == 1 else f"{len(violations):,} rules"
    facts = {"file": printable(first.path), "rule": first.rule, "line": first.line, "violations": len(violations)}
    facts["secret"] = any(violation.is_secret for violation in violations)
    raise WorkflowError(FailureCode.PATCH_REFUSED, f"The patch breaks {rules}: {named}{more}.", **facts)
