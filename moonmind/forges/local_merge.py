"""Merge a branch of a bare repository without a working tree, in one step that others see whole."""

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.forges.local_git import BareRepository
from moonmind.forges.local_pulls import PullRecord

_TRIES = 5
_USAGE = 129


def merge_into_base(repository: BareRepository, record: PullRecord) -> tuple[str, str]:
    """
    Move the base branch to a merge commit; return the tip it had and the one it has.

    Base moves only from the tip that was merged: a push in between is merged with, never lost.
    Raises `pull_request_conflict` where git cannot merge, and `forge_unavailable` where base keeps moving.
    """
    for _ in range(_TRIES):
        base_sha = repository.tip(record.base)
        if base_sha is None:
            detail = f"The base branch {record.base!r} of pull request #{record.number} is not there any more."
            raise WorkflowError(FailureCode.PULL_REQUEST_REFUSED, detail)
        merge_sha = _merge_commit(repository, record, base_sha)
        name = f"refs/heads/{record.base}"
        if repository.run("update-ref", name, merge_sha, base_sha, allowed=(0, 128)).code == 0:
            return base_sha, merge_sha
    detail = f"The branch {record.base!r} moved each time it was about to be merged into."
    raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail)


def _merge_commit(repository: BareRepository, record: PullRecord, base_sha: str) -> str:
    options = ("--write-tree", "--name-only", "--no-messages")
    answer = repository.run("merge-tree", *options, base_sha, record.head_sha, allowed=(0, 1, _USAGE))
    if answer.code == _USAGE:
        raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, "Merging needs git 2.38 or later on this host.")
    if answer.code == 1:
        files = answer.output.decode("utf-8", "replace").split("\n")[1:]
        conflicts = ", ".join(sorted({file for file in files if file})) or "unknown files"
        detail = f"Pull request #{record.number} conflicts with {record.base} in: {conflicts}."
        raise WorkflowError(FailureCode.PULL_REQUEST_CONFLICT, detail)
    message = f"Merge pull request #{record.number} from {record.head}\n\n{record.title}\n"
    parents = ("-p", base_sha, "-p", record.head_sha)
    commit = repository.run("commit-tree", answer.line, *parents, "-F", "-", stdin=message.encode("utf-8", "replace"))
    return commit.line
