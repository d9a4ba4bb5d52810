"""Recognise secrets by their shape, with one table for the patch policy and for redaction."""

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

LONGEST_SECRET_BYTES = 20 * 1024
"""No rule matches more than this, so a reader of streams knows how much to keep in hand."""


@dataclass(frozen=True)
class SecretRule:
    """
    One shape of secret; the group `secret` is what has to be hidden, else the whole match.

    `blocks` is False for shapes that examples and tests are full of: they are hidden in logs,
    but a patch is not refused for them.
    """

    name: str
    pattern: re.Pattern[bytes]
    blocks: bool = True


@dataclass(frozen=True)
class FoundSecret:
    """Where a secret stands in the bytes that were searched."""

    rule: SecretRule
    start: int
    end: int


_QUOTED = r"\\{0,4}[\"']?\s{0,4}"
_ASSIGNED = rf"{_QUOTED}[=:]\s{{0,4}}{_QUOTED}"
# The letter of a JSON escape (`\n`) and the digits of a URL escape (`%3D`) are a break like any other.
_AFTER_ESCAPE = r"(?<=\\[nrtbf]{head})|(?<=%[0-9A-Fa-f]{{2}}{head})"
_APART = r"(?:(?<![A-Za-z0-9]{head})|" + _AFTER_ESCAPE + ")"
# As above for a run that may hold its own prefix behind a dash; a removed line of a diff begins with one.
_WELL_APART = r"(?:(?<![A-Za-z0-9_-]{head})|(?<=\A-{head})|(?<=\n-{head})|(?<=\\n-{head})|" + _AFTER_ESCAPE + ")"
_ANYWHERE = ""


def _rule(name: str, prefix: str, rest: str, *, where: str = _APART, blocks: bool = True) -> SecretRule:
    """Make a rule that starts with fixed characters; `where` keeps `task-` from being read as `sk-`."""
    head = re.escape(prefix)
    return SecretRule(name, re.compile((head + where.format(head=head) + rest).encode()), blocks)


# A run that cannot be continued to a match is never entered twice: either it needs a break before its
# prefix, or it cannot hold that prefix. So hostile text costs linear time.
# Every rule is its own expression because Python then looks for the fixed prefix at memory speed;
# the same table as one alternation is some ten times slower.
SECRET_RULES: tuple[SecretRule, ...] = (
    _rule("github-token", "gh", r"[opusr]_[A-Za-z0-9]{36,255}+", where=_ANYWHERE),
    _rule("github-token", "github_pat_", r"[A-Za-z0-9_]{22,255}+", where=_ANYWHERE),
    _rule("gitlab-token", "glpat-", r"[A-Za-z0-9_-]{20,255}+"),
    _rule("anthropic-key", "sk-ant-", r"[A-Za-z0-9_-]{20,255}+"),
    _rule("openai-key", "sk-", r"(?:proj|svcacct|admin|or-v1)-[A-Za-z0-9_-]{20,255}+"),
    _rule("openai-key", "sk-", r"[A-Za-z0-9]{32,255}+"),
    _rule("groq-key", "gsk_", r"[A-Za-z0-9]{40,100}+"),
    _rule("xai-key", "xai-", r"[A-Za-z0-9]{60,120}+"),
    _rule("huggingface-token", "hf_", r"[A-Za-z0-9]{34,40}+"),
    _rule("moonmind-token", "mm_", r"[A-Za-z0-9-]{1,64}_[A-Za-z0-9_-]{32,255}+"),
    _rule("aws-key", "AKIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _rule("aws-key", "ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    *(
        _rule("aws-secret", name, _ASSIGNED + r"(?P<secret>[A-Za-z0-9/+]{40})", where=_ANYWHERE)
        for name in ("secret_access_key", "SECRET_ACCESS_KEY", "ecretAccessKey")
    ),
    _rule("google-key", "AIza", r"[A-Za-z0-9_-]{35}"),
    _rule("google-token", "ya29.", r"[A-Za-z0-9_-]{20,1024}+"),
    _rule("google-secret", "GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    _rule("slack-token", "xox", r"[abeoprs]-[A-Za-z0-9-]{10,255}+"),
    _rule("slack-webhook", "hooks.slack.com/services/", r"(?P<secret>\w{6,20}/\w{6,20}/\w{16,64}+)"),
    _rule("stripe-key", "sk_live_", r"[A-Za-z0-9]{20,255}+"),
    _rule("stripe-key", "rk_live_", r"[A-Za-z0-9]{20,255}+"),
    _rule("stripe-test-key", "sk_test_", r"[A-Za-z0-9]{20,255}+", blocks=False),
    _rule("npm-token", "npm_", r"[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _rule("pypi-token", "pypi-", r"AgE[A-Za-z0-9_-]{50,1024}+"),
    _rule("docker-token", "dckr_pat_", r"[A-Za-z0-9_-]{20,100}+"),
    _rule("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{32,128}+"),
    _rule(
        "json-web-token",
        "eyJ",
        r"[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{8,8192}+\.[A-Za-z0-9_-]{8,4096}+",
        where=_WELL_APART,
    ),
    _rule(
        "url-password",
        "://",
        r"[^\s:/?#@\"'<>\\]{0,128}:(?P<secret>[^\s/\"'<>\\]{1,256})@",
        where=_ANYWHERE,
    ),
    _rule(
        "authorization",
        "uthorization",
        _ASSIGNED + r"(?i:bearer|basic|token)\s{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{12,4096}+)",
        where=_ANYWHERE,
        blocks=False,
    ),
    _rule(
        "private-key",
        "-----BEGIN ",
        r"(?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
        # No possessive groups here or anywhere: Python up to 3.11.4 ends them too early.
        r"(?:(?:[^-]|-(?!----)){0,16384}-----END [A-Z0-9 ]{0,64}-----"
        # Cut off before its end: as many whole lines as follow.
        r"|(?:(?:\s|\\[nr]){0,8}[A-Za-z0-9+/=]{16,128}){0,128})",
        where=_ANYWHERE,
    ),
)

_PLACEHOLDER = re.compile(rb"(?i)example|placeholder|changeme|change-me|your|dummy|redacted|x{6}|\*{3}|0{12}|123456789")
_COMMON_PASSWORDS = frozenset(
    b"admin guest minio moonmind mysql pass passwd password postgres pw rabbitmq redis root secret test user".split()
)
# What jwt.io and the RFC show; half of all tests that need a token copy one of them.
_PUBLISHED = (b"SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c", b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
_FEWEST_DIFFERENT_CHARACTERS = 8
_KEY_MATERIAL = re.compile(rb"[A-Za-z0-9+/=]{32}")


def find_secrets(data: bytes) -> list[FoundSecret]:
    """Return what looks like a secret, in order of its start; two finds may overlap."""
    found = [
        FoundSecret(rule, *match.span("secret" if "secret" in rule.pattern.groupindex else 0))
        for rule in SECRET_RULES
        for match in rule.pattern.finditer(data)
    ]
    return sorted(found, key=lambda secret: secret.start)


def find_certain_secrets(data: bytes) -> Iterator[FoundSecret]:
    """Yield the finds that are reason enough to refuse a patch: no placeholders, no published examples."""
    for secret in find_secrets(data):
        if secret.rule.blocks and not _is_placeholder(secret, data):
            yield secret


def _is_placeholder(secret: FoundSecret, data: bytes) -> bool:
    value = data[secret.start : secret.end]
    if secret.rule.name == "private-key":
        return _KEY_MATERIAL.search(value) is None
    if secret.rule.name == "url-password":
        user = data[max(0, secret.start - 130) : secret.start - 1].rpartition(b"/")[2]
        made_up = value == user or value.lower() in _COMMON_PASSWORDS
        return made_up or value[:1] in b"${<[%*" or _PLACEHOLDER.search(value) is not None
    if any(known in value for known in _PUBLISHED):
        return True
    return _PLACEHOLDER.search(value) is not None or len(set(value)) < _FEWEST_DIFFERENT_CHARACTERS


_ASCII_ESCAPE = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")


class Unescaped:
    r"""
    Bytes with JSON's `\u00xx` escapes of plain characters undone, and the way back to the original.

    Some encoders write `+` or `&` so, and a secret must not hide behind that.
    """

    def __init__(self, data: bytes) -> None:
        pieces: list[bytes] = []
        self._starts: list[int] = [0]
        self._shifts: list[int] = [0]
        at = length = 0
        for match in _ASCII_ESCAPE.finditer(data):
            before = data[at : match.start()]
            pieces += (before, bytes.fromhex(match[1].decode()))
            length += len(before) + 1
            at = match.end()
            self._starts.append(length)
            self._shifts.append(at - length)
        pieces.append(data[at:])
        self.data = b"".join(pieces)

    @property
    def changed(self) -> bool:
        """True when there was anything to undo."""
        return len(self._starts) > 1

    def original(self, position: int) -> int:
        """Return where the character at `position` begins in the bytes that were given."""
        index = bisect_right(self._starts, position) - 1
        return position + self._shifts[index]


_SHORTEST_BASE64 = 8
_ALIGNMENTS = ((0, 0), (1, 2), (2, 3))  # bytes before the secret, and how many base64 characters they spoil


def spellings(value: str) -> frozenset[bytes]:
    """Return how a known secret may be written: as it is, in JSON, URLs, HTML, and inside base64."""
    plain = {value, html.escape(value)}
    for ensure_ascii in (True, False):
        escaped = json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]
        plain |= {escaped, escaped.replace("/", "\\/"), json.dumps(escaped, ensure_ascii=ensure_ascii)[1:-1]}
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        plain |= {quoted, re.sub("%[0-9A-F]{2}", lambda hexadecimal: hexadecimal[0].lower(), quoted)}
    return frozenset(text.encode("utf-8", "surrogatepass") for text in plain) | _base64_spellings(value)


def _base64_spellings(value: str) -> frozenset[bytes]:
    # `Basic` credentials and encoded files hold the secret at any of three alignments.
    content = value.encode("utf-8", "surrogatepass")
    cores: set[bytes] = set()
    for before, spoilt in _ALIGNMENTS:
        whole = base64.b64encode(b"\0" * before + content)
        core = whole[spoilt : (before + len(content)) * 8 // 6]
        if len(core) >= _SHORTEST_BASE64:
            cores |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return frozenset(cores)
