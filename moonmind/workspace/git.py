"""Run git with an environment built from scratch, since a repository is written by people we do not know."""

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.workspace.own_files import clear, settle
from moonmind.workspace.process import Ended, Program, TimeLimitError, run_bounded

MEBIBYTE = 1 << 20
OUTPUT_LIMIT = 64 * MEBIBYTE

# Command scope wins over whatever a repository's own config says. What it cannot win over
# (filters, rewritten addresses, includes) is kept out by never running git on a config that an agent wrote.
_SETTINGS: Mapping[str, str] = {
    "advice.addEmbeddedRepo": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    # Names that a Mac or Windows machine would take for `.git` are refused here too.
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.symlinks": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    # A commit of ours is referenced by nothing until it is pushed, so nothing may collect garbage.
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
}
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# Git looks for a repository in its folder and above it, and for files in its home. An agent that is
# not confined can write wherever we can, so both are places where even we cannot.
_FOLDER = Path("/")
_HOME = "/dev/null"
# Each makes git look elsewhere: for config, attributes, history or objects.
_DIVERSIONS = (
    "commondir",
    "config.worktree",
    "hooks",
    "info/attributes",
    "info/grafts",
    "objects/info/alternates",
    "objects/info/http-alternates",
    "shallow",
)
_HANDED_ON = frozenset(
    name for pair in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for name in (pair, pair.lower())
) | {"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_DIR", "SSL_CERT_FILE"}
# The prompt names the host that asks; nobody but the remote's own host is told the token.
_ASKPASS = """\
#!/bin/sh
case "$1" in
  "Username for '$MM_GIT_ORIGIN': ") echo x-access-token ;;
  "Password for '$MM_GIT_ORIGIN_WITH_USER': ") printf '%s\\n' "$MM_GIT_TOKEN" ;;
  *) exit 1 ;;
esac
"""
# Volumes are often owned by another user than the worker's. It has to be a file: what git starts at the
# other end of a path is not told what the environment configures.
_GLOBAL_CONFIG = "[safe]\n\tdirectory = *\n"
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")


class GitFailedError(Exception):
    """Git ended in a way that its caller did not expect; the caller knows what that means."""

    def __init__(self, verb: str, ended: Ended) -> None:
        self.verb = verb
        self.ended = ended
        super().__init__(f"`git {verb}` ended with {ended.code}: {first_line(ended.stderr)}")


@dataclass(frozen=True)
class Git:
    """
    How git is run on this worker.

    `surroundings` is what the process was started with; only PATH and the proxy and
    certificate variables are taken from it.
    """

    home: Path
    timeout: timedelta
    surroundings: Mapping[str, str] = field(default_factory=dict, repr=False)
    checks_objects: bool = True
    """Refuse fetched objects that are malformed; some old, odd histories need this off."""

    def run(
        self,
        arguments: Sequence[str],
        *,
        remote: Remote | None = None,
        variables: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limit: int = OUTPUT_LIMIT,
        accept: Collection[int] = (0,),
        held: tuple[int, ...] = (),
    ) -> Ended:
        """
        Run one command; only with a remote may it reach one, and only by that remote's protocols.

        The config and the script that answers for the token are made sure of first: an agent may
        have written others.

        Raises `GitFailedError` for an exit code outside `accept`, and `git_timed_out`. Output beyond
        `limit` bytes ends the command, with `cut` set.
        """
        self._prepare()
        verb = next((word for word in arguments if not word.startswith("-")), "git")
        environment = {**self._environment(remote, settings or {}), **(variables or {})}
        program = Program(
            argv=["git", *arguments],
            cwd=_FOLDER,
            environment=environment,
            stdin=stdin,
            seconds=self.timeout.total_seconds(),
            limit=limit,
            held=held,
        )
        try:
            ended = run_bounded(program)
        except TimeLimitError:
            detail = f"`git {verb}` did not end within {self.timeout.total_seconds():g} seconds and was stopped."
            raise WorkflowError(FailureCode.GIT_TIMED_OUT, detail) from None
        except FileNotFoundError:
            detail = "There is no program `git` on this worker's PATH."
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail) from None
        ended = replace(ended, stderr=safe_words(ended.stderr, remote))
        if not ended.cut and ended.code not in accept:
            raise GitFailedError(verb, ended)
        return ended

    def _prepare(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        settle(self._askpass, _ASKPASS, mode=0o700)
        settle(self._config, _GLOBAL_CONFIG, mode=0o600)

    @property
    def _askpass(self) -> Path:
        return self.home / "askpass"

    @property
    def _config(self) -> Path:
        return self.home / "config"

    def _environment(self, remote: Remote | None, settings: Mapping[str, str]) -> dict[str, str]:
        checks = {"transfer.fsckObjects": str(self.checks_objects).lower()}
        configuration = {**_SETTINGS, **checks, **settings}
        environment = {
            "PATH": self.surroundings.get("PATH", _DEFAULT_PATH),
            "HOME": _HOME,
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": ":".join(remote.protocols) if remote else "",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_AUTHOR_EMAIL": "moonmind@localhost",
            "GIT_AUTHOR_NAME": "MoonMind",
            "GIT_COMMITTER_EMAIL": "moonmind@localhost",
            "GIT_COMMITTER_NAME": "MoonMind",
            "GIT_CONFIG_COUNT": str(len(configuration)),
            "GIT_CONFIG_GLOBAL": str(self._config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
        }
        for number, (name, value) in enumerate(configuration.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = name
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment | (self._access(remote) if remote else {})

    def _access(self, remote: Remote) -> dict[str, str]:
        access = {name: value for name, value in self.surroundings.items() if name in _HANDED_ON}
        if "SSL_CERT_FILE" in access:
            # Git built with GnuTLS does not read SSL_CERT_FILE by itself.
            access.setdefault("GIT_SSL_CAINFO", access["SSL_CERT_FILE"])
        if remote.token:
            scheme, host = urlsplit(remote.url)[:2]
            access |= {
                "GIT_ASKPASS": str(self._askpass),
                "MM_GIT_ORIGIN": f"{scheme}://{host}",
                "MM_GIT_ORIGIN_WITH_USER": f"{scheme}://x-access-token@{host}",
                "MM_GIT_TOKEN": remote.token,
            }
        return access


@dataclass(frozen=True)
class Repository:
    """A git folder of ours, with the index and the work tree that its commands use."""

    git: Git
    folder: Path
    index: Path | None = None
    work_tree: Path | None = None
    config: str | None = None
    """What the folder's config has to say; for a folder that is there while agents work."""

    def restore(self) -> None:
        """
        Write the config anew and remove what would divert git; nothing where the config is not known.

        Repeating is safe. `run` does it before every command; call it before git reaches this folder
        by its path.
        """
        if self.config is None or not self.folder.is_dir():
            return
        for name in _DIVERSIONS:
            clear(self.folder / name)
        # Between the check and now the folder may have been moved, to make it anew.
        with suppress(FileNotFoundError, NotADirectoryError):
            settle(self.folder / "config", self.config, mode=0o600)

    def run(
        self,
        *arguments: str,
        remote: Remote | None = None,
        variables: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limit: int = OUTPUT_LIMIT,
        accept: Collection[int] = (0,),
        held: tuple[int, ...] = (),
    ) -> Ended:
        """Run one command here; see `Git.run`."""
        self.restore()
        where = [f"--git-dir={self.folder}"]
        own = dict(variables or {})
        if self.work_tree is not None:
            where.append(f"--work-tree={self.work_tree}")
        if self.index is not None:
            own["GIT_INDEX_FILE"] = str(self.index)
        return self.git.run(
            [*where, *arguments],
            remote=remote,
            variables=own,
            settings=settings,
            stdin=stdin,
            limit=limit,
            accept=accept,
            held=held,
        )


def first_line(words: str) -> str:
    """Return the line that says what went wrong, without git's prefix."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    telling = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "no words")
    return telling.removeprefix("fatal:").removeprefix("error:").strip()[:300]


def safe_words(words: str, remote: Remote | None) -> str:
    """Take the token, users in addresses and control characters out of what git or a server said."""
    if remote is not None and remote.token:
        basic = base64.b64encode(f"x-access-token:{remote.token}".encode()).decode()
        for secret in (basic, remote.token, quote(remote.token, safe="")):
            words = words.replace(secret, "***")
    return _CONTROL.sub("?", _USER_IN_URL.sub("***@", words))
