"""Find out where the service is and how this terminal behaves: all that the command takes from its environment."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TextIO
from urllib.parse import SplitResult, urlsplit

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_ADDRESS_FILE = "server.json"
_TOKEN_FILE = "operator.token"  # noqa: S105 - the name of a file
_MAX_FILE_BYTES = 64 * 1024
_TOKEN = re.compile(r"[!-~]{1,512}")
_YES = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True)
class Server:
    """Where the service is, and the token that opens it."""

    url: str
    """Without a slash at its end."""
    token: str = field(repr=False)
    is_this_machine: bool = False
    """True for a loopback address, which no proxy may come between."""


@dataclass(frozen=True)
class Terminal:
    """What one output stream can do."""

    is_live: bool
    """True where text may be redrawn in place."""
    has_color: bool
    width: int | None
    """Columns that the operator asked for; None leaves it to the terminal."""


def find_server(environment: Mapping[str, str] | None = None) -> Server:
    """
    Take the address and the token from MOONMIND_URL and MOONMIND_TOKEN, else from the embedded data folder.

    The folder's own token goes to the folder's own service only: another address needs a
    token that was meant for it. Raises `server_unreachable`, `authentication_required`, or
    `setting_invalid` naming the variable.
    """
    env = os.environ if environment is None else environment
    folder = Path(env.get("MOONMIND_DATA_DIR") or "var")
    given = env.get("MOONMIND_URL", "").strip()
    token = _given_token(env)
    embedded = "" if given and token else _embedded_url(folder, required=not given)
    source = "MOONMIND_URL" if given else str(folder / _ADDRESS_FILE)
    parts = _checked_address(given or embedded, source)
    url = parts.geturl().rstrip("/")
    token = token or _embedded_token(folder, is_own=url == embedded.rstrip("/"))
    is_loopback = _is_loopback(parts.hostname or "")
    if parts.scheme == "http" and not is_loopback and env.get("MOONMIND_ALLOW_PLAIN_HTTP", "").lower() not in _YES:
        detail = (
            f"{source} is plain http to {parts.hostname}, so anyone on the way could read the token: use https or a "
            "tunnel to a loopback address, or set MOONMIND_ALLOW_PLAIN_HTTP=true where the network is your own."
        )
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)
    return Server(url=url, token=token, is_this_machine=is_loopback)


def describe_terminal(stream: TextIO, environment: Mapping[str, str] | None = None) -> Terminal:
    """Say what a stream can do; NO_COLOR, CI, TERM and COLUMNS are honoured."""
    env = os.environ if environment is None else environment
    is_terminal = stream.isatty()
    is_plain = env.get("TERM") == "dumb" or env.get("CI", "").lower() not in {"", "0", "false"}
    columns = env.get("COLUMNS", "")
    return Terminal(
        is_live=is_terminal and not is_plain,
        has_color=is_terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb",
        width=int(columns) if columns.isascii() and columns.isdigit() and int(columns) > 0 else None,
    )


def _embedded_url(folder: Path, *, required: bool) -> str:
    path = folder / _ADDRESS_FILE
    content = _read(path)
    if content is None:
        if not required:
            return ""
        detail = f"No service is known: MOONMIND_URL is not set, and {path} is not there."
        raise WorkflowError(FailureCode.SERVER_UNREACHABLE, detail)
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    url = document.get("url") if isinstance(document, dict) else None
    if isinstance(url, str) and url:
        return url
    if not required:
        return ""
    detail = f"{path} does not say where the service is; it is rewritten when the service starts."
    raise WorkflowError(FailureCode.SERVER_UNREACHABLE, detail)


def _checked_address(url: str, source: str) -> SplitResult:
    problem = f"{source} is not an address such as https://moonmind.example.org"
    try:
        parts = urlsplit(url)
        has_good_port = parts.port is None or parts.port > 0
    except ValueError:
        raise WorkflowError(FailureCode.SETTING_INVALID, f"{problem}.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_good_port or not url.isprintable():
        raise WorkflowError(FailureCode.SETTING_INVALID, f"{problem}.")
    if parts.username is not None or parts.query or parts.fragment:
        detail = f"{problem}: no user name, query or fragment belongs in it."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)
    return parts


def _given_token(env: Mapping[str, str]) -> str:
    value, file = env.get("MOONMIND_TOKEN", "").strip(), env.get("MOONMIND_TOKEN_FILE", "")
    if value and file:
        detail = "Set MOONMIND_TOKEN or MOONMIND_TOKEN_FILE, not both."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)
    if value:
        return _checked_token(value, "MOONMIND_TOKEN")
    if not file:
        return ""
    content = _read(Path(file))
    if content is None:
        raise WorkflowError(FailureCode.SETTING_INVALID, f"MOONMIND_TOKEN_FILE names {file}, which is not there.")
    return _checked_token(content.strip(), f"MOONMIND_TOKEN_FILE ({file})")


def _embedded_token(folder: Path, *, is_own: bool) -> str:
    path = folder / _TOKEN_FILE
    content = _read(path) if is_own else None
    if content is not None:
        return _checked_token(content.strip(), str(path))
    reason = f"and {path} is not there" if is_own else f"and {path} is for the service in that folder only"
    raise WorkflowError(FailureCode.AUTHENTICATION_REQUIRED, f"MOONMIND_TOKEN is not set, {reason}.")


def _checked_token(token: str, source: str) -> str:
    if _TOKEN.fullmatch(token):
        return token
    raise WorkflowError(FailureCode.SETTING_INVALID, f"{source} does not hold a token.")


def _read(path: Path) -> str | None:
    """Return a small file's text, None where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        detail = f"{path} cannot be read: {error.strerror}."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail) from error
    return content.decode(errors="replace")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
