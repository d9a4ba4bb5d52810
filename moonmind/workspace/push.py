"""Push one commit with a lease, and after any doubt let the remote's own word decide what became of it."""

from dataclasses import dataclass

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import PushReport, Remote
from moonmind.domain.refs import is_branch_name, is_commit_id
from moonmind.workspace.git import Repository, first_line
from moonmind.workspace.process import Ended
from moonmind.workspace.remotes import address, ask_tip, failure, is_the_remotes_fault

_PROTECTED = ("gh006", "gh013", "protected branch", "protected ref", "repository rule violations")
_REJECTED = ("[remote rejected]", "[rejected]", "hook declined", "unpacker error", "refusing to")
_ANY_CODE = range(256)
_LONGEST_LOG = 64 * 1024


@dataclass(frozen=True)
class PushOrder:
    """What to push where; `expected` is what the branch must have, None that it must not exist."""

    remote: Remote
    branch: str
    commit: str
    expected: str | None


def push(repository: Repository, order: PushOrder) -> PushReport:
    """
    Push a commit that the mirror has.

    Repeating is safe, also after a push whose answer was lost: git reports a branch that has the
    commit as up to date, and after any failure the remote is asked what the branch has now.
    Raises `branch_moved`, `branch_protected`, `push_rejected`, `forge_unavailable`,
    `repository_not_found`, `repository_unreachable` or `git_timed_out`, with the fact `log`.
    """
    _check(order)
    lease = f"--force-with-lease=refs/heads/{order.branch}:{order.expected or ''}"
    what = f"{order.commit}:refs/heads/{order.branch}"
    command = ("push", "--porcelain", "--no-verify", "--no-follow-tags", lease, "--", address(order.remote), what)
    try:
        ended = repository.run(*command, remote=order.remote, accept=_ANY_CODE)
    except WorkflowError as error:
        if error.code is not FailureCode.GIT_TIMED_OUT or _tip(repository, order, error) != order.commit:
            raise
        log = f"{error.detail}\nThe remote has {order.commit} on {order.branch} all the same.\n"
        return PushReport(order.branch, order.commit, already_there=False, log=log)
    log = f"{ended.stdout.decode(errors='replace')}{ended.stderr}"[-_LONGEST_LOG:]
    report = PushReport(order.branch, order.commit, already_there=_was_up_to_date(ended), log=log)
    if ended.code == 0:
        return report
    refusal = _refusal(order, ended, log)
    tip = _tip(repository, order, refusal)
    if tip == order.commit:
        return report
    if tip != order.expected:
        now = f"is now at {tip}" if tip else "is gone"
        detail = f"The branch {order.branch} of {order.remote.repository} {now}, which this service did not push."
        raise WorkflowError(FailureCode.BRANCH_MOVED, detail, log=log)
    raise refusal


def _check(order: PushOrder) -> None:
    if not is_branch_name(order.branch):
        raise WorkflowError(FailureCode.PUSH_REJECTED, f"{order.branch!r} cannot be the name of a branch.", log="")
    for commit in (order.commit, order.expected):
        if commit is not None and not is_commit_id(commit):
            message = f"{commit!r} is not a commit's id"
            raise ValueError(message)


def _was_up_to_date(ended: Ended) -> bool:
    return any(line.startswith(b"=\t") for line in ended.stdout.splitlines())


def _tip(repository: Repository, order: PushOrder, instead: WorkflowError) -> str | None:
    """Ask for the branch's tip; when even that fails, the push's own failure says more."""
    try:
        return ask_tip(repository.git, order.remote, order.branch)
    except WorkflowError:
        raise instead from None


def _refusal(order: PushOrder, ended: Ended, log: str) -> WorkflowError:
    words = log.lower()
    if any(sign in words for sign in _PROTECTED):
        detail = f"{order.remote.repository} does not let the branch {order.branch} be pushed: {_said(ended)}."
        return WorkflowError(FailureCode.BRANCH_PROTECTED, detail, log=log)
    if any(sign in words for sign in _REJECTED) or not is_the_remotes_fault(ended):
        detail = f"{order.remote.repository} did not take the branch {order.branch}: {_said(ended)}."
        return WorkflowError(FailureCode.PUSH_REJECTED, detail, log=log)
    error = failure(order.remote, ended)
    return WorkflowError(error.code, error.detail, log=log)


def _said(ended: Ended) -> str:
    """Return the porcelain line of the rejected reference, else what git said first."""
    for line in ended.stdout.decode(errors="replace").splitlines():
        if line.startswith("!\t"):
            return line.split("\t")[-1]
    return first_line(ended.stderr)
