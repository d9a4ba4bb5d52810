"""Stand before every effect: record the intent, then make sure that the stage is still ours."""

from typing import assert_never

from api_service.db.models import SpecWorkflowRun
from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.errors import CancelRecordedError, StaleClaimError
from moonmind.domain.ports import (
    AgentHandle,
    Intent,
    PullRequestIntent,
    PushIntent,
    SubmissionIntent,
)
from moonmind.workflows.speckit_celery.repositories import Repositories


class ClaimGuard:
    """
    The effect guard of one claim.

    What remains after it, a pause between the fence and the effect, no database can close:
    the effects themselves can therefore be repeated without harm.
    """

    def __init__(self, database: Database, claimed: ClaimedStage) -> None:
        self._database = database
        self._claimed = claimed

    def begin(self, intent: Intent) -> None:
        """Record the intent under the run's lock, then fence; see `EffectGuard`."""
        with self._database.transaction() as session:
            repositories = Repositories(session, self._database.clock)
            run = repositories.runs.lock(self._claimed.run_id)
            if run is None:
                raise StaleClaimError
            self._fence(repositories)
            # Once publishing began it goes on to its pull request: no branch is left without a word.
            if run.cancel_requested_at is not None and run.publish_intent_at is None:
                raise CancelRecordedError
            self._record(repositories, run, intent)
        self.check()

    def check(self) -> None:
        """Raise `StaleClaimError` unless the stage is ours now."""
        with self._database.reading() as session:
            self._fence(Repositories(session, self._database.clock))

    def started(self, marker: str, handle: AgentHandle) -> None:
        """Store where a submission runs; see `EffectGuard`."""
        with self._database.transaction() as session:
            repositories = Repositories(session, self._database.clock)
            if repositories.runs.lock(self._claimed.run_id) is None:
                raise StaleClaimError
            self._fence(repositories)
            repositories.submissions.start(marker, handle)

    def _record(self, repositories: Repositories, run: SpecWorkflowRun, intent: Intent) -> None:
        match intent:
            case SubmissionIntent():
                repositories.submissions.intend(self._claimed, intent)
            case PushIntent():
                repositories.runs.begin_publishing(run)
                repositories.pushed_refs.intend(run, branch=intent.branch, commit_sha=intent.commit_sha)
            case PullRequestIntent():
                repositories.runs.begin_publishing(run)
            case _:
                assert_never(intent)

    def _fence(self, repositories: Repositories) -> None:
        if not repositories.stages.holds(self._claimed.stage_id, token=self._claimed.token):
            raise StaleClaimError
