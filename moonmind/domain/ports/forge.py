"""Describe a forge: repositories, pull requests, and whether we may use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from moonmind.domain.states import AuditStatus


@dataclass(frozen=True)
class RepositoryFacts:
    """What the forge says of a repository; read anew in each run, never cached."""

    repository: str
    """OWNER/NAME in lower case: the identity."""
    git_url: str
    default_branch: str
    archived: bool = False
    web_url: str | None = None
    """The repository's address in a browser, where it has one."""


@dataclass(frozen=True)
class Remote:
    """Where git fetches from and pushes to; the token travels through GIT_ASKPASS only."""

    repository: str
    url: str
    protocols: tuple[str, ...]
    """What GIT_ALLOW_PROTOCOL permits, such as ("https",) or ("file",)."""
    token: str | None = field(default=None, repr=False)


class PullRequestState(StrEnum):
    """Merged and closed are kept apart: the first is success, the second a person's no."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True)
class PullRequest:
    """A pull request as the forge tells it."""

    number: int
    url: str
    state: PullRequestState
    head: str
    head_sha: str
    base: str
    title: str
    body: str


@dataclass(frozen=True)
class PullRequestDraft:
    """What a pull request should say; the body ends with the hidden marker."""

    head: str
    base: str
    title: str
    body: str


@dataclass(frozen=True)
class Verdict:
    """The result of one credential check, kept as an audit row; a failed one says what to do."""

    subject: str
    status: AuditStatus
    kind: str
    message: str
    remedy: str = ""
    login: str | None = None
    last_four: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Checked(Protocol):
    """Something whose credentials can be checked where it will be used."""

    @property
    def name(self) -> str:
        """The name in settings, audit rows and replies."""

    def check(self) -> Verdict:
        """Look whether this process can use it now; reads only, so repeating is safe."""


class Forge(Checked, Protocol):
    """A host of repositories and pull requests."""

    def describe(self, repository: str) -> RepositoryFacts:
        """Read the facts; raises `repository_not_found` or `forge_unavailable`."""

    def remote(self, facts: RepositoryFacts, *, write: bool) -> Remote:
        """Say how git reaches the repository, with the write token only when asked for."""

    def pull_requests(self, facts: RepositoryFacts, *, head: str) -> Sequence[PullRequest]:
        """List those of one head branch in all states, newest first."""

    def open_pull_request(self, facts: RepositoryFacts, draft: PullRequestDraft) -> PullRequest:
        """
        Create one. Not repeatable by itself: callers look first.

        The forge refuses a second open one of the same head and base with `pull_request_refused`.
        """

    def update_pull_request(self, facts: RepositoryFacts, number: int, draft: PullRequestDraft) -> PullRequest:
        """Set title and body; repeating it is safe."""
