"""List every failure code with its cause, its remedy and where a retry goes on."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from moonmind.domain.states import Stage


class FailureCode(StrEnum):
    """Stable codes; scripts and runbooks hold on to them, so a code is never renamed."""

    # What the operator asked for
    REQUEST_INVALID = "request_invalid"
    CURSOR_INVALID = "cursor_invalid"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    AUTHENTICATION_REQUIRED = "authentication_required"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    TOKEN_NOT_FOUND = "token_not_found"  # noqa: S105 - a failure code
    WORKFLOW_NOT_FOUND = "workflow_not_found"
    WORKFLOW_CONFLICT = "workflow_conflict"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    RETRY_NOT_ALLOWED = "retry_not_allowed"
    CANCEL_NOT_ALLOWED = "cancel_not_allowed"
    CREDENTIALS_INVALID = "credentials_invalid"
    ARTIFACT_NOT_FOUND = "artifact_not_found"
    ARTIFACT_MISSING = "artifact_missing"
    ARTIFACT_DIGEST_MISMATCH = "artifact_digest_mismatch"
    ROUTE_NOT_FOUND = "route_not_found"
    PULL_REQUEST_NOT_FOUND = "pull_request_not_found"
    PULL_REQUEST_NOT_OPEN = "pull_request_not_open"
    PULL_REQUEST_CONFLICT = "pull_request_conflict"
    # The service and its surroundings
    DATABASE_UNAVAILABLE = "database_unavailable"
    SCHEMA_OUTDATED = "schema_outdated"
    SETTING_INVALID = "setting_invalid"
    DATA_FOLDER_IN_USE = "data_folder_in_use"
    SERVER_UNREACHABLE = "server_unreachable"
    DEMO_NOT_POSSIBLE = "demo_not_possible"
    PROOF_NOT_POSSIBLE = "proof_not_possible"
    UNEXPECTED_ERROR = "unexpected_error"
    # discover
    REPOSITORY_NOT_FOUND = "repository_not_found"
    REPOSITORY_UNREACHABLE = "repository_unreachable"
    REPOSITORY_EMPTY = "repository_empty"
    BASE_BRANCH_NOT_FOUND = "base_branch_not_found"
    FEATURE_NOT_FOUND = "feature_not_found"
    FEATURE_AMBIGUOUS = "feature_ambiguous"
    TASKS_FILE_MISSING = "tasks_file_missing"
    TASKS_FILE_UNREADABLE = "tasks_file_unreadable"
    PHASE_NOT_FOUND = "phase_not_found"
    TASK_NOT_OPEN = "task_not_open"
    # submit
    AGENT_FAILED = "agent_failed"
    AGENT_TIMED_OUT = "agent_timed_out"
    AGENT_WENT_SILENT = "agent_went_silent"
    AGENT_NO_CHANGE = "agent_no_change"
    AGENT_NEEDS_INPUT = "agent_needs_input"
    AGENT_UNAVAILABLE = "agent_unavailable"
    SUBMISSION_OUTCOME_UNKNOWN = "submission_outcome_unknown"
    PUBLISHER_UNAVAILABLE = "publisher_unavailable"
    # apply
    PATCH_CONFLICT = "patch_conflict"
    PATCH_REFUSED = "patch_refused"
    PATCH_TOO_LARGE = "patch_too_large"
    PATCH_UNREADABLE = "patch_unreadable"
    POLICY_FILE_INVALID = "policy_file_invalid"
    # publish
    FORGE_UNAVAILABLE = "forge_unavailable"
    BRANCH_MOVED = "branch_moved"
    BRANCH_PROTECTED = "branch_protected"
    PUSH_REJECTED = "push_rejected"
    PULL_REQUEST_CLOSED = "pull_request_closed"
    PULL_REQUEST_REFUSED = "pull_request_refused"
    PHASE_ALREADY_LANDED = "phase_already_landed"
    # any stage
    STAGE_CRASHED_REPEATEDLY = "stage_crashed_repeatedly"
    STAGE_FAILED_UNEXPECTEDLY = "stage_failed_unexpectedly"
    ARTIFACT_STORE_UNAVAILABLE = "artifact_store_unavailable"
    GIT_TIMED_OUT = "git_timed_out"
    RUN_CANCELLED = "run_cancelled"


class FailureKind(StrEnum):
    """What a failure is about; the API maps each kind to one HTTP status."""

    INVALID = "invalid"
    DENIED = "denied"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GONE = "gone"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    BUG = "bug"
    RUN = "run"


@dataclass(frozen=True)
class Failure:
    """One row of the catalogue; `resume` is None where a retry goes on at the failed stage."""

    kind: FailureKind
    title: str
    cause: str
    remedy: str
    resume: Stage | None = None

    def remedy_for(self, run_id: object | None) -> str:
        """Return the remedy with the run's id in place of `RUN`, so that it can be pasted."""
        return self.remedy if run_id is None else self.remedy.replace("RUN", str(run_id))


_INVALID = FailureKind.INVALID
_CONFLICT = FailureKind.CONFLICT
_RUN = FailureKind.RUN
_UNAVAILABLE = FailureKind.UNAVAILABLE

CATALOGUE: Mapping[FailureCode, Failure] = {
    FailureCode.REQUEST_INVALID: Failure(
        _INVALID,
        "The request is not valid",
        "A field is missing, unknown, too long or of the wrong form.",
        "Correct the fields named in `errors` and send it again; `moonmind run --help` lists them.",
    ),
    FailureCode.CURSOR_INVALID: Failure(
        _INVALID,
        "The page cursor is not valid",
        "The cursor was changed, cut, or made by another installation.",
        "Start again without `cursor`: `moonmind list`.",
    ),
    FailureCode.PAYLOAD_TOO_LARGE: Failure(
        FailureKind.TOO_LARGE,
        "The request body is too large",
        "The service reads at most 1 MiB of a request.",
        "Shorten the notes and send it again.",
    ),
    FailureCode.AUTHENTICATION_REQUIRED: Failure(
        FailureKind.DENIED,
        "A valid token is needed",
        "No bearer token was sent, or it is unknown, expired or revoked.",
        "Set MOONMIND_TOKEN to a valid token; the embedded service keeps one in `operator.token` in its data folder.",
    ),
    FailureCode.ROLE_NOT_ALLOWED: Failure(
        FailureKind.FORBIDDEN,
        "The token's role does not allow this",
        "Reading needs the role viewer, starting and stopping runs needs operator.",
        "Ask an administrator for one that does: `moonmind token create NAME --role operator`.",
    ),
    FailureCode.TOKEN_NOT_FOUND: Failure(
        FailureKind.NOT_FOUND,
        "There is no such token",
        "The id is unknown to this installation.",
        "List the tokens with `moonmind token list`.",
    ),
    FailureCode.WORKFLOW_NOT_FOUND: Failure(
        FailureKind.NOT_FOUND,
        "There is no such run",
        "The id is unknown to this installation.",
        "List the runs with `moonmind list`.",
    ),
    FailureCode.WORKFLOW_CONFLICT: Failure(
        _CONFLICT,
        "A run for this feature is already active",
        "Only one run may work on a feature of a repository at a time.",
        "Follow the active run with `moonmind watch RUN`, or cancel it first.",
    ),
    FailureCode.IDEMPOTENCY_KEY_REUSED: Failure(
        _CONFLICT,
        "The idempotency key was used for another request",
        "A key stands for one request body for 24 hours.",
        "Send the same body again, or use a new Idempotency-Key.",
    ),
    FailureCode.RETRY_NOT_ALLOWED: Failure(
        _CONFLICT,
        "The run cannot be retried now",
        "Only a failed or cancelled run can be retried, and only once for each failure.",
        "Look at its state with `moonmind show RUN`.",
    ),
    FailureCode.CANCEL_NOT_ALLOWED: Failure(
        _CONFLICT,
        "The run cannot be cancelled any more",
        "It has already ended.",
        "Look at its state with `moonmind show RUN`.",
    ),
    FailureCode.CREDENTIALS_INVALID: Failure(
        _CONFLICT,
        "Credentials do not pass their check",
        "The agent or the forge cannot be used with what is configured.",
        "Do what the verdict says, then `moonmind retry RUN`.",
    ),
    FailureCode.ARTIFACT_NOT_FOUND: Failure(
        FailureKind.NOT_FOUND,
        "The run has no such artifact",
        "The id or name belongs to no artifact of this run.",
        "List them with `moonmind artifacts RUN`.",
    ),
    FailureCode.ARTIFACT_MISSING: Failure(
        FailureKind.GONE,
        "The artifact's file is gone",
        "The row is there, but the file was removed from the artifact store.",
        "Restore the artifact folder from its backup, or `moonmind retry RUN --restart`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.ARTIFACT_DIGEST_MISMATCH: Failure(
        _CONFLICT,
        "The artifact was changed after it was stored",
        "Its bytes no longer have the digest that was recorded with them.",
        "Restore the file from its backup, or `moonmind retry RUN --restart`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.ROUTE_NOT_FOUND: Failure(
        FailureKind.NOT_FOUND,
        "There is nothing at this address",
        "The path or the method is not part of the API.",
        "See `/docs` for the routes.",
    ),
    FailureCode.PULL_REQUEST_NOT_FOUND: Failure(
        FailureKind.NOT_FOUND,
        "There is no such pull request",
        "The repository has no pull request of that number.",
        "List them with `moonmind forge list OWNER/NAME`.",
    ),
    FailureCode.PULL_REQUEST_NOT_OPEN: Failure(
        _CONFLICT,
        "The pull request is not open",
        "It was already merged or closed.",
        "List them with `moonmind forge list OWNER/NAME`.",
    ),
    FailureCode.PULL_REQUEST_CONFLICT: Failure(
        _CONFLICT,
        "The pull request cannot be merged as it is",
        "Its branch and the base branch changed the same lines.",
        "Merge the base branch into its branch by hand and push, then merge the pull request again.",
    ),
    FailureCode.DATABASE_UNAVAILABLE: Failure(
        _UNAVAILABLE,
        "The database does not answer",
        "It is down, not reachable, or out of connections.",
        "Wait a moment and try again; `moonmind db current` tells whether it is back.",
    ),
    FailureCode.SCHEMA_OUTDATED: Failure(
        _UNAVAILABLE,
        "The database schema is not the one this version needs",
        "Migrations were not run, or a newer version has run them.",
        "Run `moonmind db upgrade`, then start again.",
    ),
    FailureCode.SETTING_INVALID: Failure(
        _INVALID,
        "A setting is not valid",
        "A variable or a line of config.toml has a value that cannot be used.",
        "Correct the named variable and start again.",
    ),
    FailureCode.DATA_FOLDER_IN_USE: Failure(
        _CONFLICT,
        "Another process uses this data folder",
        "The embedded service keeps its folder to itself, since two would run every stage twice.",
        "Stop the other process, or set MOONMIND_DATA_DIR to a folder of its own.",
    ),
    FailureCode.SERVER_UNREACHABLE: Failure(
        _UNAVAILABLE,
        "The service does not answer",
        "No service listens at the address, or something between refuses.",
        "Start it with `moonmind up`, or set MOONMIND_URL to where it runs.",
    ),
    FailureCode.DEMO_NOT_POSSIBLE: Failure(
        _UNAVAILABLE,
        "The demonstration cannot run here",
        "Its service did not start, or a program that it needs is missing.",
        "Mend what the message names, then start it again; `rm -r` its folder makes it begin anew.",
    ),
    FailureCode.PROOF_NOT_POSSIBLE: Failure(
        _UNAVAILABLE,
        "The proof cannot run here",
        "The stack that it breaks did not start, or a program that it needs is missing.",
        "Install what the message names, or prove another stack: `moonmind prove --stack embedded` needs nothing more.",
    ),
    FailureCode.UNEXPECTED_ERROR: Failure(
        FailureKind.BUG,
        "Something went wrong inside the service",
        "This is a bug; the log has its traceback under the request's id.",
        "Report it with the log lines around this time.",
    ),
    FailureCode.REPOSITORY_NOT_FOUND: Failure(
        _RUN,
        "The repository is not there",
        "The forge knows no such repository, or the token cannot see it.",
        "Check the name and the access, then `moonmind retry RUN --restart`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.REPOSITORY_UNREACHABLE: Failure(
        _RUN,
        "The repository could not be fetched",
        "Git could not read from the forge.",
        "Check the forge and the network from the worker's host, then `moonmind retry RUN`.",
    ),
    FailureCode.REPOSITORY_EMPTY: Failure(
        _RUN,
        "The repository has no commit",
        "There is no branch to read a feature from.",
        "Push a first commit with the Spec Kit files, then `moonmind retry RUN --restart`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.BASE_BRANCH_NOT_FOUND: Failure(
        _RUN,
        "The base branch is not there",
        "The branch was deleted, renamed or never pushed.",
        "Name a branch that exists with `moonmind run OWNER/NAME --base BRANCH`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.FEATURE_NOT_FOUND: Failure(
        _RUN,
        "The feature is not there",
        "The base commit has no such feature folder with Spec Kit files.",
        "Start again with one of the features that the message names: `moonmind run OWNER/NAME --feature KEY`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.FEATURE_AMBIGUOUS: Failure(
        _RUN,
        "Several features fit",
        "The repository has more than one feature that the request could mean.",
        "Start again with one of the candidates: `moonmind run OWNER/NAME --feature KEY`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.TASKS_FILE_MISSING: Failure(
        _RUN,
        "The feature has no tasks.md",
        "The plan has not been broken into tasks, or the file was not committed.",
        "Run Spec Kit's `/tasks` for the feature and push, then `moonmind retry RUN --restart`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.TASKS_FILE_UNREADABLE: Failure(
        _RUN,
        "tasks.md has no task that can be read",
        "The file is no Spec Kit task list, or is damaged.",
        "See what the reader sees with `moonmind tasks FILE`, mend it and push, then `moonmind retry RUN --restart`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.PHASE_NOT_FOUND: Failure(
        _RUN,
        "The selected phase is not there",
        "No phase of tasks.md has that title, number or heading line.",
        "Start again with a phase that `moonmind tasks FILE` lists.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.TASK_NOT_OPEN: Failure(
        _RUN,
        "A selected task is not open in this phase",
        "The task is finished, cancelled, in another phase, or unknown.",
        "Start again with open tasks that `moonmind tasks FILE` lists.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.AGENT_FAILED: Failure(
        _RUN,
        "The agent failed",
        "It ended with an error before the work was done.",
        "Read its words with `moonmind logs RUN`, then `moonmind retry RUN --notes '…'`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.AGENT_TIMED_OUT: Failure(
        _RUN,
        "The agent took too long",
        "It was stopped at SPEC_WORKFLOW_SUBMIT_TIMEOUT_SECONDS.",
        "Select fewer tasks or raise the limit, then `moonmind retry RUN`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.AGENT_WENT_SILENT: Failure(
        _RUN,
        "The agent stopped saying anything",
        "It wrote nothing for SPEC_WORKFLOW_SUBMIT_IDLE_SECONDS and was stopped.",
        "Read its last words with `moonmind logs RUN`, then `moonmind retry RUN`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.AGENT_NO_CHANGE: Failure(
        _RUN,
        "The agent changed nothing",
        "It ended without an error, but its work has no difference to the base commit.",
        "Read its words with `moonmind logs RUN`, then `moonmind retry RUN --notes '…'`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.AGENT_NEEDS_INPUT: Failure(
        _RUN,
        "The agent asks a question",
        "It ended with a question instead of a change.",
        "Answer it with `moonmind retry RUN --notes 'your answer'`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.AGENT_UNAVAILABLE: Failure(
        _RUN,
        "The agent cannot be used on this worker",
        "Its credential check failed: a program is missing, or its login is not valid.",
        "Do what the verdict says on the worker's host, then `moonmind retry RUN`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.SUBMISSION_OUTCOME_UNKNOWN: Failure(
        _RUN,
        "It is not known whether the agent took the work",
        "The answer to the submission was lost and a look-up could not decide.",
        "Look at the candidates, then `moonmind retry RUN` to submit again.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.PUBLISHER_UNAVAILABLE: Failure(
        _RUN,
        "No publisher has working forge credentials",
        "No process that publishes reported a passing check within two minutes.",
        "Start a publisher or mend its credentials, then `moonmind retry RUN`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.PATCH_CONFLICT: Failure(
        _RUN,
        "The patch does not fit the base commit",
        "The agent worked from other files than the run's base commit has.",
        "See the conflict with `moonmind download RUN conflict`, then `moonmind retry RUN` to submit again.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.PATCH_REFUSED: Failure(
        _RUN,
        "The patch breaks a rule",
        "It touches something that an agent may not change.",
        "Read which file and rule, then `moonmind retry RUN --notes '…'` or loosen SPEC_WORKFLOW_PROTECTED_PATHS.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.PATCH_TOO_LARGE: Failure(
        _RUN,
        "The patch is too large",
        "It has more bytes than SPEC_WORKFLOW_MAX_PATCH_BYTES allows.",
        "Select fewer tasks or raise the limit, then `moonmind retry RUN`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.PATCH_UNREADABLE: Failure(
        _RUN,
        "The patch is not one that git can read",
        "The agent delivered something other than a unified diff.",
        "Look at it with `moonmind download RUN codex_patch`, then `moonmind retry RUN`.",
        resume=Stage.SUBMIT,
    ),
    FailureCode.POLICY_FILE_INVALID: Failure(
        _RUN,
        "The repository's policy file is not valid",
        "`.moonmind.toml` in the base commit cannot be read, so it is not known what it forbids.",
        "Mend `.moonmind.toml` on the base branch, then `moonmind retry RUN --restart`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.FORGE_UNAVAILABLE: Failure(
        _RUN,
        "The forge cannot be used",
        "Its credential check failed, or it does not answer.",
        "Do what the verdict says, then `moonmind retry RUN`.",
    ),
    FailureCode.BRANCH_MOVED: Failure(
        _RUN,
        "Somebody else moved the branch",
        "The branch of this run has a commit on the forge that this service did not push.",
        "Keep their work or delete the branch on the forge, then `moonmind retry RUN`.",
    ),
    FailureCode.BRANCH_PROTECTED: Failure(
        _RUN,
        "The branch may not be pushed to",
        "It is the default branch or protected by the forge.",
        "Lift the protection for `moonmind/**` branches, then `moonmind retry RUN`.",
    ),
    FailureCode.PUSH_REJECTED: Failure(
        _RUN,
        "The forge rejected the push",
        "The forge's answer is in the push log.",
        "Read it with `moonmind download RUN gh_push_log`, mend the cause, then `moonmind retry RUN`.",
    ),
    FailureCode.PULL_REQUEST_CLOSED: Failure(
        _RUN,
        "The pull request was closed by a person",
        "A closed pull request is a decision; the service never reopens one.",
        "If the work is still wanted, `moonmind retry RUN` opens a new one on the next branch.",
        resume=Stage.PUBLISH,
    ),
    FailureCode.PULL_REQUEST_REFUSED: Failure(
        _RUN,
        "The forge refused the pull request",
        "The branch is pushed, but the forge did not accept the pull request.",
        "Mend what the message names, then `moonmind retry RUN`.",
    ),
    FailureCode.PHASE_ALREADY_LANDED: Failure(
        _RUN,
        "The phase has landed meanwhile",
        "A submitted task is ticked on the base branch by somebody else.",
        "Take what is left with `moonmind retry RUN --restart`.",
        resume=Stage.DISCOVER,
    ),
    FailureCode.STAGE_CRASHED_REPEATEDLY: Failure(
        _RUN,
        "The stage killed its worker five times",
        "The worker died in this stage again and again, often for lack of memory or disk.",
        "Look at the worker's log and the host's memory, then `moonmind retry RUN`.",
    ),
    FailureCode.STAGE_FAILED_UNEXPECTEDLY: Failure(
        _RUN,
        "The stage failed in a way nobody foresaw",
        "This is a bug; the worker's log has the traceback under the run's id.",
        "Report it with the log, then `moonmind retry RUN`.",
    ),
    FailureCode.ARTIFACT_STORE_UNAVAILABLE: Failure(
        _RUN,
        "The artifact store cannot be written",
        "The disk is full, read-only, or the folder belongs to another user.",
        "Free space or mend the rights of SPEC_WORKFLOW_ARTIFACT_ROOT, then `moonmind retry RUN`.",
    ),
    FailureCode.GIT_TIMED_OUT: Failure(
        _RUN,
        "A git command took too long",
        "The forge or the disk is too slow, or hangs.",
        "Check both from the worker's host, then `moonmind retry RUN`.",
    ),
    FailureCode.RUN_CANCELLED: Failure(
        _RUN,
        "The run was cancelled",
        "An operator asked for it.",
        "If the work is wanted after all, `moonmind retry RUN`.",
    ),
}
