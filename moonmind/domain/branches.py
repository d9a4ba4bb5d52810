"""Name the branch of a phase: the same for the same work, whatever the attempt."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

_ROOT = "moonmind"
# 9 + 64 + 1 + 40 + 1 + 57 + 5: the whole name stays below 200 bytes.
_FEATURE_LIMIT = 64
_BASE_LIMIT = 40
_PHASE_LIMIT = 48
_MOST_SUFFIX = 9_999
_HASH_LENGTH = 8

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_SLUG = re.compile(r"[^a-z0-9.]+|(?<![0-9])\.|\.(?![0-9])")
_DASHES = "\u2013\u2014-"
_HEAD = re.compile(rf"\W*(phase\s+[0-9]+(?:\.[0-9]+)*\w?)\b[\s:.{_DASHES}]*", re.IGNORECASE)
# What follows says more than a name needs, or changes while the phase is worked on.
_ASIDE = re.compile(rf"\s[{_DASHES}]+\s|[(\[]")


def branch_name(
    feature_dir_name: str,
    phase_title: str,
    *,
    other_titles: Sequence[str],
    base_branch: str,
    default_branch: str,
    suffix: int = 1,
) -> str:
    """
    Return a branch name that git accepts, at most 200 bytes long.

    `other_titles` are those of the same file: where one of them leads to the same name, or to
    one that only a number tells apart, a hash of the title keeps them distinct. A base branch
    that is not the default is part of the name after an `@`. From suffix 2 on it is appended.
    """
    if not 1 <= suffix <= _MOST_SUFFIX:
        message = f"a branch suffix lies between 1 and {_MOST_SUFFIX}, not at {suffix}"
        raise ValueError(message)
    feature = _exact_or_hashed(feature_dir_name.removeprefix("specs/"), _FEATURE_LIMIT)
    if base_branch != default_branch:
        feature += f"@{_exact_or_hashed(base_branch, _BASE_LIMIT)}"
    phase = _phase_part(phase_title, other_titles)
    return f"{_ROOT}/{feature}/{phase}" + (f"-{suffix}" if suffix > 1 else "")


def next_branch(branch: str, suffix: int) -> str:
    """Return the name after one that has this suffix."""
    first = branch.removesuffix(f"-{suffix}") if suffix > 1 else branch
    return f"{first}-{suffix + 1}"


def _phase_part(title: str, other_titles: Sequence[str]) -> str:
    slug = _slug(title)
    others = {_slug(other) for other in other_titles if other != title}
    if any(_differ_by_number_only(slug, other) for other in others):
        return f"{slug}-{_digest(title)}"
    return slug


def _differ_by_number_only(slug: str, other: str) -> bool:
    # "tests-2" is also the second branch of "tests", so it may not be the first of another phase.
    return slug == other or re.fullmatch(re.escape(other) + r"-[0-9]+", slug) is not None


def _slug(title: str) -> str:
    plain = _ascii(title)
    head = _HEAD.match(plain)
    number = head.group(1) if head else ""
    rest = plain[head.end() :] if head else plain
    subject = _words(_ASIDE.split(rest.lstrip(" ([*_"), maxsplit=1)[0]) or _words(rest)
    slug = _cut("-".join(part for part in (_words(number), subject) if part))
    return slug if re.search(r"[a-z]", slug) else f"phase-{_digest(title)}"


def _ascii(title: str) -> str:
    """Drop accents, and turn every sign that is no letter, such as an emoji, into an aside."""
    characters = []
    for character in unicodedata.normalize("NFKD", title):
        category = unicodedata.category(character)
        if category in {"So", "Cs", "Cn"}:
            characters.append(" - ")
        elif not category.startswith("M"):
            characters.append(character)
    return "".join(characters).strip(" -")


def _words(text: str) -> str:
    return _NOT_IN_SLUG.sub("-", text.lower()).strip("-.")


def _cut(slug: str) -> str:
    if len(slug) <= _PHASE_LIMIT:
        return slug
    whole_words = slug[: _PHASE_LIMIT + 1].rpartition("-")[0]
    return (whole_words or slug[:_PHASE_LIMIT]).strip("-.")


def _exact_or_hashed(name: str, limit: int) -> str:
    """Return the name itself where git takes it as it is, else a readable form with its hash."""
    safe = re.sub(r"\.{2,}", ".", _NOT_IN_NAME.sub("-", name)).strip("-.")
    while safe.lower().endswith(".lock"):
        safe = safe[: -len(".lock")].strip("-.")
    if safe == name and len(safe) <= limit:
        return safe
    room = limit - _HASH_LENGTH - 1
    return "-".join(part for part in (safe[:room].strip("-."), _digest(name)) if part)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
