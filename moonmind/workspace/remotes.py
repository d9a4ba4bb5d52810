"""Reach a remote: refuse an address that git could misread, ask for a tip, and tell failures apart."""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.domain.refs import is_branch_name
from moonmind.workspace.git import Git, GitFailedError, first_line
from moonmind.workspace.process import Ended

_NOBODY_MATCHES = 2
_LONGEST_ANSWER = 64 * 1024

# Git has no exit codes for these; with LC_ALL=C its words are the same everywhere.
_DENIED = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "invalid username or password",
    "invalid username or token",
    "returned error: 401",
    "returned error: 403",
    "access denied",
    "unable to read askpass response",
    "permission to",
)
_NOT_THERE = (
    "does not appear to be a git repository",
    "repository not found",
    "' not found",
    "does not exist",
    "returned error: 404",
)
# What the remote sends is malformed; a new mirror would get the same.
_MALFORMED = ("fsck error",)
_NETWORK = (
    "could not resolve host",
    "could not connect",
    "failed to connect",
    "connection",
    "early eof",
    "rpc failed",
    "timed out",
    "unexpected disconnect",
    "hung up unexpectedly",
    "unable to access",
    "ssl",
    "operation too slow",
    "transport",
)


def address(remote: Remote) -> str:
    """
    Return the URL, once it is sure to be an address of a permitted protocol and nothing else.

    Raises `repository_not_found` for option-looking, relative and foreign addresses, and for
    one that carries a password: that would land in argv.
    """
    url = remote.url
    parts = urlsplit(url)
    if not url.isprintable() or any(name.startswith("-") for name in (url, remote.repository, parts.netloc)):
        problem = "cannot be an address"
    elif "://" not in url:
        good = url.startswith("/") and "file" in remote.protocols
        problem = "" if good else "is not a full address"
    elif parts.scheme not in remote.protocols:
        problem = f"is not one of the protocols {', '.join(remote.protocols)}"
    elif parts.password is not None:
        problem = "carries a password"
    else:
        problem = ""
    if problem:
        shown = "***" if parts.password is not None else url
        detail = f"The repository {remote.repository!r} cannot be reached: its address {shown!r} {problem}."
        raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, detail)
    return url


def ask_tip(git: Git, remote: Remote, branch: str) -> str | None:
    """Ask which commit a branch has now; reads only. Raises what `failure` tells, and `git_timed_out`."""
    if not is_branch_name(branch):
        return None
    reference = f"refs/heads/{branch}"
    asked = ["ls-remote", "--exit-code", "--", address(remote), reference]
    try:
        ended = git.run(asked, remote=remote, accept=(0, _NOBODY_MATCHES), limit=_LONGEST_ANSWER)
    except GitFailedError as error:
        raise failure(remote, error.ended) from error
    # A pattern also matches the end of longer names, such as refs/heads/x/refs/heads/BRANCH.
    lines = (line.split("\t") for line in ended.stdout.decode(errors="replace").splitlines())
    return next((line[0] for line in lines if line[1:] == [reference]), None)


def answers(git: Git, remote: Remote) -> Ended | None:
    """Return None when the remote answers a plain question, else how that went wrong."""
    try:
        git.run(["ls-remote", "--heads", "--", address(remote)], remote=remote)
    except GitFailedError as error:
        return error.ended
    return None


def is_the_remotes_fault(ended: Ended) -> bool:
    """Tell whether git's words blame the remote or the way to it, rather than the mirror."""
    words = ended.stderr.lower()
    return any(sign in words for signs in (_DENIED, _NOT_THERE, _MALFORMED, _NETWORK) for sign in signs)


def failure(remote: Remote, ended: Ended) -> WorkflowError:
    """Turn a failed fetch, question or push into the failure that an operator should see."""
    words = ended.stderr.lower()
    said = first_line(ended.stderr)
    if any(sign in words for sign in _DENIED):
        detail = f"The forge refused the credentials for {remote.repository}: {said}."
        return WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail)
    if any(sign in words for sign in _NOT_THERE):
        detail = f"There is no repository {remote.repository} that these credentials can see: {said}."
        return WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, detail)
    if any(sign in words for sign in _MALFORMED):
        detail = f"{remote.repository} has a malformed object, which is refused: {said}."
        return WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, detail)
    detail = f"Git could not reach {remote.repository}: {said}."
    return WorkflowError(FailureCode.REPOSITORY_UNREACHABLE, detail)


def short_name(repository: str) -> str:
    """Return a folder name that people recognise; uniqueness comes from elsewhere."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in repository.lower())
    return PurePosixPath(kept.strip("-")[:60] or "repository").name
