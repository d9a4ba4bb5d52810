"""Say how artifacts are named, what they hold, and which of them are kept to the byte."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from moonmind.domain.ports.support import ArtifactFolder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_BY_TYPE: Mapping[str, str] = {
    "discovery_snapshot": "application/json",
    "prompt": "text/markdown; charset=utf-8",
    "codex_logs": "application/x-ndjson",
    "codex_patch": "text/x-diff; charset=utf-8",
    "conflict": "text/x-diff; charset=utf-8",
    "gh_push_log": "text/plain; charset=utf-8",
    "gh_pr_response": "application/json",
    "pr_payload": "application/json",
    "retry_context": "application/json",
    "run_summary": "application/json",
}
_BY_ENDING: Mapping[str, str] = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".patch": "text/x-diff; charset=utf-8",
    ".diff": "text/x-diff; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
}
_OTHER = "text/plain; charset=utf-8"
_PATCH_ENDING = ".patch"


def content_type(artifact_type: str, name: str) -> str:
    """Return the content type; one artifact type may come in several forms, then its ending tells."""
    return _BY_TYPE.get(artifact_type) or _BY_ENDING.get(PurePosixPath(name).suffix, _OTHER)


def is_kept_to_the_byte(name: str) -> bool:
    """
    Return whether an artifact is stored without redaction.

    That is so for names ending in `.patch` alone: what was checked against the policy, what git applies
    and what the digest stands for must be the same bytes, and a patch with `[redacted:…]` in it would
    still apply and put that text into somebody's source. A patch that adds a secret is refused instead,
    by the same table of secrets, and stored under another name. Everything else is for reading, so
    redaction costs nothing there.
    """
    return name.endswith(_PATCH_ENDING)


def checked_name(name: str) -> str:
    """Return the name of an artifact's file; one that is no plain file name is a bug."""
    if not _NAME.fullmatch(name):
        message = f"not a name for an artifact: {name!r}"
        raise ValueError(message)
    return name


def folder_names(folder: ArtifactFolder) -> tuple[str, str]:
    """Return the folder of one claim below the root: the run's, and the claim's own."""
    return str(folder.run_id), f"a{folder.attempt}-{folder.stage.value}-t{folder.token}"
