"""Give every ending its exit code, so that a script can tell a bad call from a failed run."""

from collections.abc import Mapping
from enum import IntEnum

from moonmind.cli.refusals import ServerRefusedError
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureKind
from moonmind.domain.states import RunStatus


class Exit(IntEnum):
    """The exit codes of the command."""

    DONE = 0
    RUN_FAILED = 1
    USAGE = 2
    NOT_POSSIBLE = 3
    """The service cannot be reached, or does not allow it."""
    NO_WORK = 4
    INTERRUPTED = 130
    """What shells report for a program that was stopped with Ctrl-C."""


_OF_KIND = {
    FailureKind.INVALID: Exit.USAGE,
    FailureKind.NOT_FOUND: Exit.USAGE,
    FailureKind.TOO_LARGE: Exit.USAGE,
    FailureKind.RUN: Exit.RUN_FAILED,
}
# Bad request, not found, body too large, unprocessable; numbers, since Python renamed two of them.
_BAD_CALLS = frozenset({400, 404, 413, 422})
_OF_RUN: Mapping[str, Exit] = {
    RunStatus.SUCCEEDED: Exit.DONE,
    RunStatus.NO_WORK: Exit.NO_WORK,
    RunStatus.PENDING: Exit.DONE,
    RunStatus.RUNNING: Exit.DONE,
    RunStatus.RETRYING: Exit.DONE,
}


def exit_for_error(error: WorkflowError) -> Exit:
    """Return 2 where another call is needed, 1 where a run failed, 3 for all else."""
    if isinstance(error, ServerRefusedError) and not error.is_known:
        return Exit.USAGE if error.status in _BAD_CALLS else Exit.NOT_POSSIBLE
    return _OF_KIND.get(error.failure.kind, Exit.NOT_POSSIBLE)


def exit_for_run(status: str) -> Exit:
    """Return the code for a run's status; cancelled and unknown ones count as failed."""
    return _OF_RUN.get(status, Exit.RUN_FAILED)
