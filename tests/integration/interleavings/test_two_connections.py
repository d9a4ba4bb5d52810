"""Two processes do things to one run at the same moment: PostgreSQL, real threads, no faults."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, StageMessage
from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Ended
from moonmind.domain.ports import PullRequestIntent, PushIntent
from moonmind.domain.states import RunStatus, Stage, StageStatus
from moonmind.testing.artifacts import InMemoryArtifactStore
from moonmind.workflows import RetryRequest, cancel_spec_workflow_run, retry_spec_workflow_run, start_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import cancel_if_asked, claim_stage, take_over
from moonmind.workflows.speckit_celery.completion import Completion, complete_stage
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories
from tests.integration.interleavings.conftest import (
    claimed,
    end_lease,
    look,
    paused_before_commit,
    run_at,
    terms,
)
from tests.integration.workflow.conftest import GRACE, order, results

pytestmark = pytest.mark.postgresql
ROUNDS = 4


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do things at the same moment and return what came of each: its answer, or the error it raised."""

    def outcome(act: Callable[[], object]) -> object:
        try:
            return act()
        except (StaleClaimError, CancelRecordedError) as error:
            return type(error)
        except WorkflowError as error:
            return error.code

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(outcome, acts))


class TestCancel:
    def test_against_a_claim_the_run_is_cancelled_or_its_holder_is_told(self, postgresql: Database) -> None:
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.SUBMIT, feature_key=f"{number:03}-x")
            claim, _ = at_once(
                partial(claim_stage, postgresql, StageMessage(run_id, Stage.SUBMIT, 1), terms("a")),
                partial(cancel_spec_workflow_run, postgresql, run_id, reason=None),
            )
            # A sweep comes by in any case.
            cancel_if_asked(postgresql, run_id)
            run, _stages = look(postgresql, run_id)
            if isinstance(claim, ClaimedStage):
                assert run.status == RunStatus.RUNNING
                assert run.cancel_requested_at is not None
                ended = Ended(RunStatus.CANCELLED, "Stopped.")
                assert complete_stage(postgresql, claim, ended, artifacts=(), grace=GRACE) is Completion.ENDED
            assert look(postgresql, run_id)[0].status == RunStatus.CANCELLED

    def test_against_a_completion_the_run_ends_as_cancelled_with_nothing_left_open(self, postgresql: Database) -> None:
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.APPLY, feature_key=f"{number:03}-x")
            held = claimed(postgresql, run_id, Stage.APPLY)
            done = Done(results()[Stage.APPLY])
            at_once(
                partial(complete_stage, postgresql, held, done, artifacts=(), grace=GRACE),
                partial(cancel_spec_workflow_run, postgresql, run_id, reason=None),
            )
            cancel_if_asked(postgresql, run_id)
            run, stages = look(postgresql, run_id)
            assert run.status == RunStatus.CANCELLED
            assert all(StageStatus(row.status).is_finished for row in stages.values())

    def test_against_the_push_either_nothing_leaves_or_the_pull_request_comes_out(self, postgresql: Database) -> None:
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.PUBLISH, feature_key=f"{number:03}-x")
            guard = ClaimGuard(postgresql, claimed(postgresql, run_id, Stage.PUBLISH))
            begun, _ = at_once(
                partial(guard.begin, PushIntent(f"moonmind/{run_id}", run_id.hex)),
                partial(cancel_spec_workflow_run, postgresql, run_id, reason=None),
            )
            if begun is CancelRecordedError:
                assert look(postgresql, run_id)[0].publish_intent_at is None
            else:
                guard.begin(PullRequestIntent(f"moonmind/{run_id}"))

    def test_a_cancel_sees_a_publishing_that_a_crash_interrupted(self, postgresql: Database) -> None:
        """
        A worker pushed the branch and died; the cancel came before its successor.

        Closing the run at once would leave the branch on the forge without a pull request.
        """
        run_id = run_at(postgresql, Stage.PUBLISH)
        held = claimed(postgresql, run_id, Stage.PUBLISH)
        ClaimGuard(postgresql, held).begin(PushIntent("moonmind/x", "5" * 40))
        cancel_spec_workflow_run(postgresql, run_id, reason=None)
        end_lease(postgresql, held)
        assert not cancel_if_asked(postgresql, run_id)
        assert take_over(postgresql, run_id, held_by=None, crashed=True, grace=GRACE)

        successor = claimed(postgresql, run_id, Stage.PUBLISH, owner="worker-b")
        ClaimGuard(postgresql, successor).begin(PullRequestIntent("moonmind/x"))
        done = Done(results()[Stage.PUBLISH])
        assert complete_stage(postgresql, successor, done, artifacts=(), grace=GRACE) is Completion.ENDED

        run, _ = look(postgresql, run_id)
        assert (run.status, run.pr_url) == (RunStatus.CANCELLED, "http://forge/pulls/1")


class TestTakeOver:
    def test_against_a_completion_one_of_them_wins(self, postgresql: Database) -> None:
        seen: Counter[str] = Counter()
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.SUBMIT, feature_key=f"{number:03}-x")
            held = claimed(postgresql, run_id, Stage.SUBMIT)
            end_lease(postgresql, held)
            done = Done(results()[Stage.SUBMIT])
            answer, taken = at_once(
                partial(complete_stage, postgresql, held, done, artifacts=(), grace=GRACE),
                partial(take_over, postgresql, run_id, held_by=None, crashed=True, grace=GRACE),
            )
            status = look(postgresql, run_id)[1][Stage.SUBMIT].status
            seen[status] += 1
            if answer is Completion.ADVANCED:
                assert (status, taken) == (StageStatus.SUCCEEDED, False)
            else:
                assert (answer, status, taken) == (Completion.STALE, StageStatus.QUEUED, True)
        assert seen

    def test_two_sweepers_count_one_crash(self, postgresql: Database) -> None:
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.SUBMIT, feature_key=f"{number:03}-x")
            end_lease(postgresql, claimed(postgresql, run_id, Stage.SUBMIT))
            sweeps = [partial(take_over, postgresql, run_id, held_by=None, crashed=True, grace=GRACE)] * 3
            assert sum(bool(taken) for taken in at_once(*sweeps)) == 1
            assert look(postgresql, run_id)[1][Stage.SUBMIT].crashes == 1

    def test_a_renewal_that_began_before_the_end_of_the_lease_keeps_the_stage(self, postgresql: Database) -> None:
        """
        Renewing takes no lock on the run, so it can commit after a sweep looked.

        Without a lock on the stage's own row the sweep would give the stage away, while its holder
        was told that it has another whole lease: two agents at work until its next beat.
        """
        run_id = run_at(postgresql, Stage.SUBMIT)
        taken = claim_stage(postgresql, StageMessage(run_id, Stage.SUBMIT, 1), terms("worker-a", lease=0.5))
        assert isinstance(taken, ClaimedStage)

        def renew() -> bool:
            with postgresql.transaction() as session:
                stages = Repositories(session, postgresql.clock).stages
                return stages.renew(taken.stage_id, token=taken.token, lease=timedelta(seconds=60))

        with paused_before_commit(postgresql, renew) as renewal, ThreadPoolExecutor(1) as pool:
            while not _lease_is_over(postgresql, taken):
                pass
            sweep = pool.submit(take_over, postgresql, run_id, held_by=None, crashed=True, grace=GRACE)
            # Long enough for the sweep to come to the stage's row, where it has to wait for the renewal.
            time.sleep(0.3)
            renewed = renewal.resume()
            took = sweep.result()
        assert (renewed, took) == (True, False)
        assert look(postgresql, run_id)[1][Stage.SUBMIT].status == StageStatus.RUNNING


def _lease_is_over(database: Database, held: ClaimedStage) -> bool:
    with database.reading() as session:
        return not Repositories(session, database.clock).stages.holds(held.stage_id, token=held.token)


class TestOthers:
    def test_two_retries_make_one_attempt(self, postgresql: Database, tmp_path: Path) -> None:
        store = InMemoryArtifactStore(tmp_path)
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.APPLY, feature_key=f"{number:03}-x")
            failed = Ended.failed(FailureCode.FORGE_UNAVAILABLE, "It was away.")
            complete_stage(postgresql, claimed(postgresql, run_id, Stage.APPLY), failed, artifacts=(), grace=GRACE)

            def retry(run: UUID = run_id) -> None:
                request = RetryRequest(run)
                retry_spec_workflow_run(postgresql, store, request, check_credentials=lambda _agent: None, grace=GRACE)

            assert sorted(map(str, at_once(retry, retry, retry))) == ["None", *["retry_not_allowed"] * 2]
            run, stages = look(postgresql, run_id)
            assert (run.epoch, run.attempt, stages[Stage.APPLY].attempt) == (2, 2, 2)

    def test_a_retry_against_a_new_order_leaves_one_active_run(self, postgresql: Database, tmp_path: Path) -> None:
        store = InMemoryArtifactStore(tmp_path)
        for number in range(ROUNDS):
            key = f"{number:03}-x"
            run_id = start_spec_workflow_run(postgresql, order(feature_key=key), grace=GRACE)
            cancel_spec_workflow_run(postgresql, run_id, reason=None)

            def retry(run: UUID = run_id) -> str:
                request = RetryRequest(run)
                retry_spec_workflow_run(postgresql, store, request, check_credentials=lambda _agent: None, grace=GRACE)
                return "accepted"

            def start(feature: str = key) -> str:
                start_spec_workflow_run(postgresql, order(feature_key=feature), grace=GRACE)
                return "accepted"

            assert sorted(map(str, at_once(retry, start))) == ["accepted", "workflow_conflict"]

    def test_runs_that_discover_one_feature_at_once_leave_one(self, postgresql: Database) -> None:
        for number in range(ROUNDS):
            directory = f"specs/{number:03}-x"
            # Three spellings that nothing tells apart before discover: none, its number, a nickname.
            keys = [None, f"{number:03}", f"nick-{number}"]
            runs = [start_spec_workflow_run(postgresql, order(feature_key=key), grace=GRACE) for key in keys]
            holds = [claimed(postgresql, run_id, Stage.DISCOVER) for run_id in runs]
            done = Done(results(directory)[Stage.DISCOVER])
            answers = at_once(
                *(partial(complete_stage, postgresql, held, done, artifacts=(), grace=GRACE) for held in holds)
            )
            assert Counter(answers) == {Completion.ADVANCED: 1, Completion.ENDED: 2}
            ends = Counter(look(postgresql, run_id)[0].failure_code for run_id in runs)
            assert ends == {None: 1, FailureCode.WORKFLOW_CONFLICT: 2}
            for run_id in runs:
                if look(postgresql, run_id)[0].failure_code is None:
                    cancel_spec_workflow_run(postgresql, run_id, reason=None)

    def test_everything_at_once_on_one_run_ends_without_a_deadlock(self, postgresql: Database) -> None:
        """Every transition takes the run's row first, so none of them can wait for each other in a circle."""
        for number in range(ROUNDS):
            run_id = run_at(postgresql, Stage.PUBLISH, feature_key=f"{number:03}-x")
            held = claimed(postgresql, run_id, Stage.PUBLISH)
            guard = ClaimGuard(postgresql, held)
            done = Done(results()[Stage.PUBLISH])

            def beat(held: ClaimedStage = held) -> bool:
                with postgresql.transaction() as session:
                    stages = Repositories(session, postgresql.clock).stages
                    return stages.renew(held.stage_id, token=held.token, lease=timedelta(seconds=60))

            answers = at_once(
                beat,
                partial(guard.begin, PushIntent("moonmind/x", "5" * 40)),
                partial(cancel_spec_workflow_run, postgresql, run_id, reason=None),
                partial(take_over, postgresql, run_id, held_by=frozenset({"worker-a"}), crashed=True, grace=GRACE),
                partial(claim_stage, postgresql, StageMessage(run_id, Stage.PUBLISH, 1), terms("worker-b")),
                partial(complete_stage, postgresql, held, done, artifacts=(), grace=GRACE),
                beat,
            )
            assert FailureCode.DATABASE_UNAVAILABLE not in answers, "PostgreSQL ended a deadlock"
