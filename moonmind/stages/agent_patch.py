"""Keep what an agent delivered: a patch to the byte, unless a secret or an unreadable form forbids it."""

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Ended
from moonmind.domain.patch_policy import PatchPolicy, check_patch, hide_secrets
from moonmind.domain.ports import AgentReport, StageArtifacts
from moonmind.domain.results import StoredArtifact

_NAME = "codex.patch"
_REDACTED_NAME = "codex.patch.redacted"


def keep_patch(patch: bytes, policy: PatchPolicy, artifacts: StageArtifacts) -> StoredArtifact:
    """
    Store the agent's patch to the byte when it was searched for secrets and has none.

    Other breaches of the policy are left to the apply stage, which knows the repository's own
    rules too. Raises `patch_refused` for a secret, and `patch_unreadable` or `patch_too_large` for
    what cannot be searched; then a copy is stored in which redaction has hidden what it found.
    """
    try:
        check_patch(patch, policy)
    except WorkflowError as error:
        if error.code is not FailureCode.PATCH_REFUSED:
            artifacts.put("codex_patch", _REDACTED_NAME, patch)
            raise
        if error.facts.get("secret"):
            artifacts.put("codex_patch", _REDACTED_NAME, hide_secrets(patch, policy))
            raise
    return artifacts.put("codex_patch", _NAME, patch)


def no_change(report: AgentReport) -> Ended:
    """End the run of an agent that delivered nothing: it asked a question, or it says why."""
    words = f" Its last words: {report.last_message}" if report.last_message else ""
    if report.last_message.rstrip().endswith("?"):
        return Ended.failed(FailureCode.AGENT_NEEDS_INPUT, f"The agent changed nothing and asks:{words}")
    return Ended.failed(FailureCode.AGENT_NO_CHANGE, f"The agent ended without a change.{words}")
