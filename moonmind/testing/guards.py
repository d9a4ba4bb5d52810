"""Stand before effects and credentials in tests; refuse what the ledger would refuse."""

from collections.abc import Callable

from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import AgentHandle, Checked, Intent, PullRequestIntent, PushIntent, Verdict
from moonmind.domain.states import AuditStatus


class InMemoryGuard:
    """
    An effect guard that remembers its intents; a test cancels the run or takes the claim away by hand.

    `after` lets something happen between a recorded intent and its effect, where races are lost.
    """

    def __init__(self) -> None:
        self.intents: list[Intent] = []
        self.handles: dict[str, AgentHandle] = {}
        self._happenings: dict[type[Intent], Callable[[], object]] = {}
        self._is_lost = False
        self._is_cancelled = False
        self._has_published = False

    def begin(self, intent: Intent) -> None:
        """Record the intent, or refuse it; see `EffectGuard`."""
        self._fence()
        if self._is_cancelled and not self._has_published:
            raise CancelRecordedError
        self._has_published |= isinstance(intent, PushIntent | PullRequestIntent)
        self.intents.append(intent)
        self._happenings.pop(type(intent), lambda: None)()
        self._fence()

    def started(self, marker: str, handle: AgentHandle) -> None:
        """Remember where a submission runs; see `EffectGuard`."""
        self._fence()
        self.handles[marker] = handle

    def after(self, kind: type[Intent], happening: Callable[[], object]) -> None:
        """Let something happen once, right after the next intent of a kind was recorded."""
        self._happenings[kind] = happening

    def cancel(self) -> None:
        """Record a cancel of the run."""
        self._is_cancelled = True

    def lose(self) -> None:
        """Give the stage to somebody else."""
        self._is_lost = True

    def _fence(self) -> None:
        if self._is_lost:
            raise StaleClaimError


class InMemoryCredentials:
    """A credentials gate that remembers every verdict; `forge` names the one subject that is no agent."""

    def __init__(self, *, forge: str) -> None:
        self.verdicts: list[Verdict] = []
        self._forge = forge

    def require(self, *subjects: Checked) -> None:
        """Check each subject and keep the verdict; see `CredentialsGate`."""
        for subject in subjects:
            verdict = subject.check()
            self.verdicts.append(verdict)
            if verdict.status is AuditStatus.FAILED:
                is_forge = subject.name == self._forge
                code = FailureCode.FORGE_UNAVAILABLE if is_forge else FailureCode.AGENT_UNAVAILABLE
                detail = f"{verdict.message} {verdict.remedy}".strip()
                raise WorkflowError(code, detail, subject=subject.name)
