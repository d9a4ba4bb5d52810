"""Say which names git takes for branches and commits, so that none can be mistaken for an option or a pattern."""

import re

_LONGEST_BRANCH_NAME = 244
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def is_branch_name(name: str) -> bool:
    """Follow `git check-ref-format`, and beyond it refuse a leading dash and the name HEAD."""
    return (
        bool(name)
        and len(name.encode(errors="replace")) <= _LONGEST_BRANCH_NAME
        and not name.startswith(("-", "/", "."))
        and not name.endswith(("/", "."))
        and name not in {"@", "HEAD"}
        and _FORBIDDEN.search(name) is None
        and name.isprintable()
    )


def is_commit_id(text: str) -> bool:
    """Tell a full id from everything else that git would try to resolve."""
    return _COMMIT_ID.fullmatch(text) is not None
