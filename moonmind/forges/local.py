"""Be a forge without a network: bare repositories in a folder, with pull requests beside them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
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
from moonmind.forges.local_git import BareRepository
from moonmind.forges.local_merge import merge_into_base
from moonmind.forges.local_places import Place, find_place
from moonmind.forges.local_pulls import PullRecord, PullStore

BODY_LIMIT = 65_536
TITLE_LIMIT = 256


class LocalForge:
    """
    Repositories at `<root>/<owner>/<name>.git`, pull requests in `<root>/<owner>/<name>.pulls/`.

    It keeps GitHub's rules, so that what works here works there. Beside the port it has what a
    reviewer needs: `list`, `read`, `diff`, `merge` and `close`.
    """

    def __init__(self, root: Path, *, public_url: str) -> None:
        self._root = root.absolute()
        self._public_url = public_url.rstrip("/")

    @property
    def name(self) -> str:
        """The name in settings, audit rows and replies."""
        return "local"

    def check(self) -> Verdict:
        """Look whether the root is there and can be written; changes nothing."""
        if not os.path.isdir(self._root):  # noqa: PTH112 - Path.is_dir raises where a parent cannot be searched
            return self._failed(
                f"The folder {self._root} of the local forge is not there.",
                f"Make it with `mkdir -p {self._root}`, or set SPEC_WORKFLOW_LOCAL_FORGE_ROOT to the folder "
                "that holds your OWNER/NAME.git repositories.",
            )
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            return self._failed(
                f"The folder {self._root} of the local forge cannot be written by this process.",
                "Give the service's user the right to write it, or set SPEC_WORKFLOW_LOCAL_FORGE_ROOT to another.",
            )
        return Verdict(
            subject=self.name,
            status=AuditStatus.PASSED,
            kind="folder",
            message=f"The folder {self._root} can be read and written.",
        )

    def describe(self, repository: str) -> RepositoryFacts:
        """Read the default branch from HEAD; raises `repository_not_found` or `forge_unavailable`."""
        place = find_place(self._root, repository)
        default_branch = BareRepository(place.git_dir).default_branch()
        if default_branch is None:
            detail = f"HEAD of {place.git_dir} names no branch; set it with `git symbolic-ref HEAD refs/heads/main`."
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail)
        return RepositoryFacts(place.repository, git_url=str(place.git_dir), default_branch=default_branch)

    def remote(self, facts: RepositoryFacts, *, write: bool) -> Remote:
        """Name the folder; reading and writing differ by the rights of the folder alone."""
        return Remote(facts.repository, url=facts.git_url, protocols=("file",))

    def pull_requests(self, facts: RepositoryFacts, *, head: str) -> Sequence[PullRequest]:
        """List those of one head branch in all states, newest first."""
        place, bare, store = self._open(facts.repository)
        return [self._shown(place, self._current(bare, record)) for record in store.all() if record.head == head]

    def open_pull_request(self, facts: RepositoryFacts, draft: PullRequestDraft) -> PullRequest:
        """
        Create one. Not repeatable by itself: callers look first.

        Raises `pull_request_refused` where GitHub would refuse: a second open one of the same
        head and base, a branch that is missing, or nothing between the two.
        """
        place, repository, store = self._open(facts.repository)
        _refuse_text(draft)
        head_sha, base_sha = self._tips(repository, draft)
        with store.locked():
            same = [record for record in store.all() if (record.head, record.base) == (draft.head, draft.base)]
            if any(self._current(repository, record).state is PullRequestState.OPEN for record in same):
                _refuse(f"A pull request already exists for {place.repository.split('/')[0]}:{draft.head}.")
            record = PullRecord(
                number=store.next_number(),
                state=PullRequestState.OPEN,
                head=draft.head,
                base=draft.base,
                head_sha=head_sha,
                base_sha=base_sha,
                title=draft.title,
                body=draft.body,
            )
            _keep_head(repository, record)
            store.save(record)
        return self._shown(place, record)

    def update_pull_request(self, facts: RepositoryFacts, number: int, draft: PullRequestDraft) -> PullRequest:
        """Set title and body; repeating it is safe. Raises `pull_request_not_found`."""
        place, repository, store = self._open(facts.repository)
        _refuse_text(draft)
        with store.locked():
            changed = replace(store.get(number), title=draft.title, body=draft.body)
            store.save(changed)
        return self._shown(place, self._current(repository, changed))

    def list(self, repository: str) -> Sequence[PullRequest]:
        """Return all pull requests, newest first."""
        place, bare, store = self._open(repository)
        return [self._shown(place, self._current(bare, record)) for record in store.all()]

    def read(self, repository: str, number: int) -> PullRequest:
        """Return one; raises `pull_request_not_found`."""
        place, bare, store = self._open(repository)
        return self._shown(place, self._current(bare, store.get(number)))

    def diff(self, repository: str, number: int) -> bytes:
        """Return what it changes since head left base, also after it was merged or closed."""
        _, bare, store = self._open(repository)
        record = self._current(bare, store.get(number))
        since = bare.merge_base(record.base_sha, record.head_sha) or record.base_sha
        options = ("--no-color", "--no-ext-diff", "--no-textconv", "--full-index", "--find-renames")
        return bare.run("diff", *options, since, record.head_sha).output

    def merge(self, repository: str, number: int) -> PullRequest:
        """
        Merge it into its base branch with a merge commit.

        Repeating after a crash is safe: base moves in one step from the tip that was merged, and
        a pull request whose head is in base counts as merged. Raises `pull_request_not_open` or
        `pull_request_conflict`; then nothing has changed.
        """
        place, bare, store = self._open(repository)
        with store.locked():
            record = self._open_record(bare, store, number)
            base_sha, merge_sha = merge_into_base(bare, record)
            _keep_head(bare, record)
            merged = replace(record, state=PullRequestState.MERGED, base_sha=base_sha, merge_sha=merge_sha)
            store.save(merged)
        return self._shown(place, merged)

    def close(self, repository: str, number: int) -> PullRequest:
        """Close it without merging: a person's no. Raises `pull_request_not_open` where it was decided before."""
        place, bare, store = self._open(repository)
        with store.locked():
            closed = replace(self._open_record(bare, store, number), state=PullRequestState.CLOSED)
            _keep_head(bare, closed)
            store.save(closed)
        return self._shown(place, closed)

    def _open(self, repository: str) -> tuple[Place, BareRepository, PullStore]:
        place = find_place(self._root, repository)
        return place, BareRepository(place.git_dir), PullStore(place.pulls_dir)

    def _open_record(self, bare: BareRepository, store: PullStore, number: int) -> PullRecord:
        record = self._current(bare, store.get(number))
        if record.state is not PullRequestState.OPEN:
            detail = f"Pull request #{number} is {record.state}, so it can neither be merged nor closed."
            raise WorkflowError(FailureCode.PULL_REQUEST_NOT_OPEN, detail)
        return record

    @staticmethod
    def _current(bare: BareRepository, record: PullRecord) -> PullRecord:
        """Let an open one follow its branches; one whose head was merged by hand is merged."""
        if record.state is not PullRequestState.OPEN:
            return record
        head_sha = bare.tip(record.head) or record.head_sha
        base_sha = bare.tip(record.base) or record.base_sha
        has_landed = bare.contains(base_sha, ancestor=head_sha)
        # A head that was reset to where base stood all along has not been merged.
        if has_landed and not bare.contains(record.base_sha, ancestor=head_sha):
            return replace(record, state=PullRequestState.MERGED, head_sha=head_sha, merge_sha=base_sha)
        return replace(record, head_sha=head_sha, base_sha=base_sha)

    @staticmethod
    def _tips(repository: BareRepository, draft: PullRequestDraft) -> tuple[str, str]:
        head_sha = repository.tip(draft.head)
        base_sha = repository.tip(draft.base)
        if head_sha is None:
            _refuse(f"The head branch {draft.head!r} is not there.")
        if base_sha is None:
            _refuse(f"The base branch {draft.base!r} is not there.")
        if repository.contains(base_sha, ancestor=head_sha):
            _refuse(f"No commits between {draft.base} and {draft.head}.")
        if repository.merge_base(base_sha, head_sha) is None:
            _refuse(f"The branch {draft.head} has no history in common with {draft.base}.")
        return head_sha, base_sha

    def _shown(self, place: Place, record: PullRecord) -> PullRequest:
        return PullRequest(
            number=record.number,
            url=f"{self._public_url}/forge/{place.repository}/pulls/{record.number}",
            state=record.state,
            head=record.head,
            head_sha=record.head_sha,
            base=record.base,
            title=record.title,
            body=record.body,
        )

    def _failed(self, message: str, remedy: str) -> Verdict:
        return Verdict(subject=self.name, status=AuditStatus.FAILED, kind="folder", message=message, remedy=remedy)


def _refuse(detail: str) -> Never:
    raise WorkflowError(FailureCode.PULL_REQUEST_REFUSED, detail)


def _refuse_text(draft: PullRequestDraft) -> None:
    if not draft.title.strip():
        _refuse("The title is missing.")
    if len(draft.title) > TITLE_LIMIT:
        _refuse(f"The title is too long (maximum is {TITLE_LIMIT} characters).")
    if len(draft.body) > BODY_LIMIT:
        _refuse(f"The body is too long (maximum is {BODY_LIMIT} characters).")


def _keep_head(repository: BareRepository, record: PullRecord) -> None:
    # The branch may be deleted later; its commits have to stay for the difference.
    repository.keep(f"refs/pull/{record.number}/head", record.head_sha)
