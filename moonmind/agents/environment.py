"""Build an agent's environment from an allow-list, since a model reads its environment and repeats it."""

from collections.abc import Mapping
from pathlib import Path

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOCALE = "C.UTF-8"
_HANDED_ON = (
    "TZ",
    # How to get out of here. A proxy's address may hold a password: it is the one that agents need.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    # Whom to trust on the way.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CODEX_CA_CERTIFICATE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
)


def agent_environment(
    parent: Mapping[str, str], *, home: Path, temporary: Path, extra: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """
    Return what an agent may see of the worker's environment, and nothing else.

    `extra` is what one kind of agent needs beyond that, such as its own login.
    """
    handed_on = {name: parent[name] for name in _HANDED_ON if name in parent}
    return {
        **handed_on,
        "PATH": parent.get("PATH") or _DEFAULT_PATH,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": parent.get("LANG") or _LOCALE,
        "LC_ALL": parent.get("LC_ALL") or parent.get("LANG") or _LOCALE,
        "TERM": "dumb",
        **(extra or {}),
    }
