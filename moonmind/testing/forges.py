"""Stand in for a forge in tests, refusing whatever a real one refuses."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Never

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import (
    PullRequest,
    PullRequestDraft,
    PullRequestState,
    Remote,
    RepositoryFacts,
    Verdict,
)
from moonmind.domain.states import AuditStatus

BODY_LIMIT = 65_536
TITLE_LIMIT = 256
_READ_TOKEN = "read-token-of-the-fake"  # noqa: S105 - a fake's token opens nothing
_WRITE_TOKEN = "write-token-of-the-fake"  # noqa: S105


@dataclass
class _Repository:
    facts: RepositoryFacts
    branches: dict[str, str] = field(default_factory=dict)
    ancestors: dict[str, frozenset[str]] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    opened_on: dict[int, str] = field(default_factory=dict)
    """Where base stood when each pull request was opened."""

    def contains(self, commit: str, ancestor: str) -> bool:
        return ancestor == commit or ancestor in self.ancestors[commit]


class InMemoryForge:
    """
    A forge whose repositories are branch names and commit ids.

    Tests arrange it with `add_repository`, `push` and the other verbs below the port, and look
    at `opened` for what came of it.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._repositories: dict[str, _Repository] = {}
        self._verdict = Verdict("memory", AuditStatus.PASSED, "fake", "The forge can be used.")
        self._answers_to_lose = 0
        self._is_down = False

    @property
    def name(self) -> str:
        """The name in settings, audit rows and replies."""
        return "memory"

    def check(self) -> Verdict:
        """Return what `refuse_credentials` set, else a pass."""
        return self._verdict

    def describe(self, repository: str) -> RepositoryFacts:
        """Read the facts; raises `repository_not_found` or `forge_unavailable`."""
        return self._find(repository).facts

    def remote(self, facts: RepositoryFacts, *, write: bool) -> Remote:
        """Say how git reaches the repository, with the write token only when asked for."""
        return Remote(facts.repository, facts.git_url, ("file",), token=_WRITE_TOKEN if write else _READ_TOKEN)

    def pull_requests(self, facts: RepositoryFacts, *, head: str) -> Sequence[PullRequest]:
        """List those of one head branch in all states, newest first."""
        with self._lock:
            repository = self._find(facts.repository)
            found = [self._current(repository, pull) for pull in repository.pulls.values() if pull.head == head]
            return sorted(found, key=lambda pull: pull.number, reverse=True)

    def open_pull_request(self, facts: RepositoryFacts, draft: PullRequestDraft) -> PullRequest:
        """Create one, or raise `pull_request_refused` as GitHub would."""
        with self._lock:
            repository = self._find(facts.repository)
            _refuse_text(draft)
            if repository.facts.archived:
                _refuse("Repository was archived so is read-only.")
            head_sha = self._refuse_branches(repository, draft)
            for pull in repository.pulls.values():
                is_same = (pull.head, pull.base) == (draft.head, draft.base)
                if is_same and self._current(repository, pull).state is PullRequestState.OPEN:
                    _refuse(f"A pull request already exists for {facts.repository.split('/')[0]}:{draft.head}.")
            number = len(repository.pulls) + 1
            opened = PullRequest(
                number=number,
                url=f"https://forge.invalid/{facts.repository}/pull/{number}",
                state=PullRequestState.OPEN,
                head=draft.head,
                head_sha=head_sha,
                base=draft.base,
                title=draft.title,
                body=draft.body,
            )
            repository.pulls[number] = opened
            repository.opened_on[number] = repository.branches[draft.base]
            self._lose_answer()
            return opened

    def update_pull_request(self, facts: RepositoryFacts, number: int, draft: PullRequestDraft) -> PullRequest:
        """Set title and body; raises `pull_request_not_found`."""
        with self._lock:
            repository = self._find(facts.repository)
            _refuse_text(draft)
            changed = replace(self._pull(repository, number), title=draft.title, body=draft.body)
            repository.pulls[number] = changed
            self._lose_answer()
            return self._current(repository, changed)

    @property
    def opened(self) -> Sequence[PullRequest]:
        """All pull requests of all repositories, in the order of their creation there."""
        with self._lock:
            return [
                self._current(repository, pull)
                for repository in self._repositories.values()
                for pull in repository.pulls.values()
            ]

    def add_repository(
        self, repository: str, *, default_branch: str = "main", tip: str | None = None, archived: bool = False
    ) -> RepositoryFacts:
        """Make a repository with one commit on its default branch."""
        facts = RepositoryFacts(
            repository.lower(), f"/forge.invalid/{repository.lower()}.git", default_branch, archived=archived
        )
        made = _Repository(facts)
        commit = tip or _commit_id(repository, default_branch)
        made.branches[default_branch] = commit
        made.ancestors[commit] = frozenset()
        with self._lock:
            self._repositories[facts.repository] = made
        return facts

    def push(self, repository: str, branch: str, commit: str, *, unrelated: bool = False) -> None:
        """
        Point a branch at a commit.

        A new commit follows the branch's tip, or that of the default branch where it is new, unless
        it is `unrelated`; a known one is where it was.
        """
        with self._lock:
            found = self._find(repository)
            parent = found.branches.get(branch) or found.branches[found.facts.default_branch]
            history = frozenset() if unrelated else found.ancestors[parent] | {parent}
            found.ancestors.setdefault(commit, history)
            found.branches[branch] = commit

    def tip(self, repository: str, branch: str) -> str | None:
        """Return the commit of a branch."""
        with self._lock:
            return self._find(repository).branches.get(branch)

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch; what pull requests know of it stays."""
        with self._lock:
            found = self._find(repository)
            found.pulls = {number: self._current(found, pull) for number, pull in found.pulls.items()}
            del found.branches[branch]

    def merge(self, repository: str, number: int) -> PullRequest:
        """Merge as a reviewer would; raises `pull_request_not_open`."""
        with self._lock:
            found = self._find(repository)
            pull = self._still_open(found, number)
            base_sha = found.branches[pull.base]
            merge_sha = _commit_id(base_sha, pull.head_sha)
            parents = frozenset({base_sha, pull.head_sha})
            found.ancestors[merge_sha] = parents | found.ancestors[base_sha] | found.ancestors[pull.head_sha]
            found.branches[pull.base] = merge_sha
            found.pulls[number] = replace(pull, state=PullRequestState.MERGED)
            return found.pulls[number]

    def close(self, repository: str, number: int) -> PullRequest:
        """Close as a reviewer would; raises `pull_request_not_open`."""
        with self._lock:
            found = self._find(repository)
            found.pulls[number] = replace(self._still_open(found, number), state=PullRequestState.CLOSED)
            return found.pulls[number]

    def refuse_credentials(self, message: str, *, remedy: str = "Set a valid token.") -> None:
        """Let every check fail from now on."""
        self._verdict = Verdict("memory", AuditStatus.FAILED, "fake", message, remedy)

    def accept_credentials(self) -> None:
        """Let every check pass again."""
        self._verdict = Verdict("memory", AuditStatus.PASSED, "fake", "The forge can be used.")

    def lose_next_answer(self) -> None:
        """Do the next change, but fail as if its answer had been lost on the way."""
        self._answers_to_lose += 1

    def go_down(self, *, is_down: bool = True) -> None:
        """Answer nothing until told otherwise."""
        self._is_down = is_down

    def _find(self, repository: str) -> _Repository:
        if self._is_down:
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, "The forge does not answer.")
        found = self._repositories.get(repository.lower())
        if found is None:
            raise WorkflowError(FailureCode.REPOSITORY_NOT_FOUND, f"There is no repository {repository}.")
        return found

    def _lose_answer(self) -> None:
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, "The forge's answer was lost.")

    def _still_open(self, repository: _Repository, number: int) -> PullRequest:
        pull = self._current(repository, self._pull(repository, number))
        if pull.state is not PullRequestState.OPEN:
            raise WorkflowError(FailureCode.PULL_REQUEST_NOT_OPEN, f"Pull request #{number} is {pull.state}.")
        return pull

    @staticmethod
    def _pull(repository: _Repository, number: int) -> PullRequest:
        if number not in repository.pulls:
            raise WorkflowError(FailureCode.PULL_REQUEST_NOT_FOUND, f"There is no pull request #{number}.")
        return repository.pulls[number]

    @staticmethod
    def _current(repository: _Repository, pull: PullRequest) -> PullRequest:
        if pull.state is not PullRequestState.OPEN:
            return pull
        head_sha = repository.branches.get(pull.head, pull.head_sha)
        base_sha = repository.branches.get(pull.base, repository.opened_on[pull.number])
        has_landed = repository.contains(base_sha, head_sha)
        was_reset = repository.contains(repository.opened_on[pull.number], head_sha)
        state = PullRequestState.MERGED if has_landed and not was_reset else PullRequestState.OPEN
        return replace(pull, head_sha=head_sha, state=state)

    @staticmethod
    def _refuse_branches(repository: _Repository, draft: PullRequestDraft) -> str:
        head_sha = repository.branches.get(draft.head)
        base_sha = repository.branches.get(draft.base)
        if head_sha is None:
            _refuse(f"The head branch {draft.head!r} is not there.")
        if base_sha is None:
            _refuse(f"The base branch {draft.base!r} is not there.")
        if repository.contains(base_sha, ancestor=head_sha):
            _refuse(f"No commits between {draft.base} and {draft.head}.")
        histories = (repository.ancestors[sha] | {sha} for sha in (head_sha, base_sha))
        if not frozenset.intersection(*histories):
            _refuse(f"The branch {draft.head} has no history in common with {draft.base}.")
        return head_sha


def _refuse(detail: str) -> Never:
    raise WorkflowError(FailureCode.PULL_REQUEST_REFUSED, detail)


def _refuse_text(draft: PullRequestDraft) -> None:
    if not draft.title.strip():
        _refuse("The title is missing.")
    if len(draft.title) > TITLE_LIMIT:
        _refuse(f"The title is too long (maximum is {TITLE_LIMIT} characters).")
    if len(draft.body) > BODY_LIMIT:
        _refuse(f"The body is too long (maximum is {BODY_LIMIT} characters).")


def _commit_id(*parts: str) -> str:
    return hashlib.sha1("\0".join(parts).encode(), usedforsecurity=False).hexdigest()
