"""What every effect guard and credentials gate promises, the fakes in memory and the ones over the ledger alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, StageMessage
from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import (
    AgentHandle,
    CredentialsGate,
    EffectGuard,
    PullRequestIntent,
    PushIntent,
    SubmissionIntent,
)
from moonmind.domain.states import Stage
from moonmind.testing.agents import ScriptedAgent
from moonmind.testing.forges import InMemoryForge
from moonmind.testing.guards import InMemoryCredentials, InMemoryGuard
from moonmind.workflows import NewRun, cancel_spec_workflow_run, start_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import ClaimTerms, claim_stage, take_over
from moonmind.workflows.speckit_celery.credentials import RecordedCredentials
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories

PUSH = PushIntent("moonmind/x/y", "5" * 40)
PULL_REQUEST = PullRequestIntent("moonmind/x/y")
SUBMISSION = SubmissionIntent("command", "mm-1", "1" * 40, "mm-1")
_TERMS = ClaimTerms("worker-a", timedelta(seconds=60), timedelta(minutes=5))


@dataclass
class Guarded:
    """A guard, its credentials gate, and the hands of those outside."""

    guard: EffectGuard
    credentials: CredentialsGate
    cancel: Callable[[], object]
    lose: Callable[[], object]
    verdicts: Callable[[], list[tuple[str, str]]]


@pytest.fixture(params=["memory", "ledger"])
def guarded(request: pytest.FixtureRequest) -> Guarded:
    """Both kinds."""
    found: Guarded = request.getfixturevalue(f"in_{request.param}")
    return found


@pytest.fixture
def in_memory() -> Guarded:
    guard, credentials = InMemoryGuard(), InMemoryCredentials(forge="memory")
    return Guarded(
        guard,
        credentials,
        guard.cancel,
        guard.lose,
        lambda: [(verdict.subject, verdict.status.value) for verdict in credentials.verdicts],
    )


@pytest.fixture
def in_ledger(sqlite_url: str) -> Iterator[Guarded]:
    database = Database(sqlite_url)
    order = NewRun("octo/habits", "001-habits", "command", "tests", "codex", "codex")
    run_id = start_spec_workflow_run(database, order, grace=timedelta(seconds=60))
    claimed = claim_stage(database, StageMessage(run_id, Stage.DISCOVER, 1), _TERMS)
    assert isinstance(claimed, ClaimedStage)
    codes = {"memory": FailureCode.FORGE_UNAVAILABLE, "command": FailureCode.AGENT_UNAVAILABLE}
    yield Guarded(
        ClaimGuard(database, claimed),
        RecordedCredentials(database, run_id, codes=codes, worker="tests"),
        lambda: cancel_spec_workflow_run(database, run_id, reason=None),
        lambda: take_over(
            database, run_id, held_by=frozenset({_TERMS.owner}), crashed=True, grace=timedelta(seconds=60)
        ),
        lambda: _audits(database, run_id),
    )
    database.dispose()


def _audits(database: Database, run_id: UUID) -> list[tuple[str, str]]:
    with database.reading() as session:
        return [(row.subject, row.status) for row in Repositories(session, database.clock).audits.all(run_id)]


class TestGuard:
    def test_effects_of_a_stage_that_is_ours_may_begin(self, guarded: Guarded) -> None:
        for intent in (SUBMISSION, PUSH, PULL_REQUEST):
            guarded.guard.begin(intent)
        guarded.guard.started("mm-1", AgentHandle("here", pid=1))

    @pytest.mark.parametrize("intent", [SUBMISSION, PUSH, PULL_REQUEST])
    def test_after_a_cancel_no_effect_begins(
        self, guarded: Guarded, intent: SubmissionIntent | PushIntent | PullRequestIntent
    ) -> None:
        guarded.cancel()
        with pytest.raises(CancelRecordedError):
            guarded.guard.begin(intent)

    def test_a_cancel_after_the_push_began_lets_the_pull_request_come_out(self, guarded: Guarded) -> None:
        guarded.guard.begin(PUSH)
        guarded.cancel()
        guarded.guard.begin(PULL_REQUEST)

    def test_a_submission_is_not_publishing(self, guarded: Guarded) -> None:
        guarded.guard.begin(SUBMISSION)
        guarded.cancel()
        with pytest.raises(CancelRecordedError):
            guarded.guard.begin(PUSH)

    def test_whoever_lost_the_stage_begins_nothing(self, guarded: Guarded) -> None:
        guarded.guard.begin(SUBMISSION)
        guarded.lose()
        with pytest.raises(StaleClaimError):
            guarded.guard.begin(PUSH)
        with pytest.raises(StaleClaimError):
            guarded.guard.started("mm-1", AgentHandle("here"))


class TestCredentials:
    def test_every_verdict_is_kept(self, guarded: Guarded) -> None:
        guarded.credentials.require(ScriptedAgent(lambda _work: None), InMemoryForge())
        assert guarded.verdicts() == [("command", "passed"), ("memory", "passed")]

    def test_the_first_that_fails_stops_with_its_words_and_its_own_code(self, guarded: Guarded) -> None:
        forge = InMemoryForge()
        forge.refuse_credentials("The token is expired.", remedy="Renew it.")
        with pytest.raises(WorkflowError, match=r"The token is expired\. Renew it\.") as refused:
            guarded.credentials.require(forge, ScriptedAgent(lambda _work: None))
        assert refused.value.code is FailureCode.FORGE_UNAVAILABLE
        assert guarded.verdicts() == [("memory", "failed")]

    def test_an_agent_has_a_code_of_its_own(self, guarded: Guarded) -> None:
        with pytest.raises(WorkflowError) as refused:
            guarded.credentials.require(ScriptedAgent(lambda _work: None, unusable_because="It is gone."))
        assert refused.value.code is FailureCode.AGENT_UNAVAILABLE
