"""A stage has one holder at a time, whatever is delivered twice and whoever dies."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from api_service.db.models import SpecWorkflowRun, SpecWorkflowTaskState
from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, NotClaimed, StageMessage
from moonmind.domain.errors import StaleClaimError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Ended, Outcome, Parked
from moonmind.domain.ports import PushIntent
from moonmind.domain.states import STAGES, RunOutcome, RunStatus, Stage, StageStatus
from moonmind.workflows.speckit_celery.claims import (
    MAX_CRASHES,
    ClaimTerms,
    claim_stage,
    park_for_slot,
    send_again,
    take_over,
    wake,
)
from moonmind.workflows.speckit_celery.completion import Completion
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages
from tests.integration.workflow.conftest import GRACE, TERMS, results

Start = Callable[..., UUID]
ClaimIt = Callable[..., ClaimedStage]
Complete = Callable[[ClaimedStage, Outcome], Completion]
Reach = Callable[[UUID, Stage], None]


def look(database: Database, run_id: UUID) -> tuple[SpecWorkflowRun, Stages]:
    with database.reading() as session:
        repositories = Repositories(session, database.clock)
        return repositories.runs.get(run_id), repositories.stages.latest(run_id)


def unsent(database: Database, run_id: UUID) -> bool:
    with database.reading() as session:
        return Repositories(session, database.clock).outbox.has_unsent(run_id)


def end_lease(database: Database, claimed: ClaimedStage) -> None:
    with database.transaction() as session:
        row = session.get(SpecWorkflowTaskState, claimed.stage_id)
        assert row is not None
        row.lease_until = database.clock.now(timedelta(seconds=-1))


class TestClaim:
    def test_the_first_copy_takes_the_stage_and_the_second_is_dropped(self, database: Database, start: Start) -> None:
        message = StageMessage(start(), Stage.DISCOVER, epoch=1)

        first, second = (claim_stage(database, message, TERMS) for _ in range(2))

        assert isinstance(first, ClaimedStage)
        assert (first.token, first.attempt) == (1, 1)
        assert second is NotClaimed.DROPPED

    def test_many_copies_at_once_give_one_claim(self, database: Database, start: Start) -> None:
        message = StageMessage(start(), Stage.DISCOVER, epoch=1)

        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(lambda _: claim_stage(database, message, TERMS), range(16)))

        assert sum(isinstance(claim, ClaimedStage) for claim in claims) == 1

    def test_a_later_stage_waits_for_the_earlier_ones(self, database: Database, start: Start) -> None:
        run_id = start()
        assert claim_stage(database, StageMessage(run_id, Stage.SUBMIT, 1), TERMS) is NotClaimed.DROPPED

    def test_a_copy_that_finds_its_stage_done_passes_through(
        self, database: Database, start: Start, reach: Reach
    ) -> None:
        run_id = start()
        reach(run_id, Stage.SUBMIT)
        assert claim_stage(database, StageMessage(run_id, Stage.DISCOVER, 1), TERMS) is NotClaimed.DONE

    def test_a_message_of_another_epoch_is_dropped_even_at_a_finished_stage(
        self, database: Database, start: Start, reach: Reach
    ) -> None:
        run_id = start()
        reach(run_id, Stage.SUBMIT)
        assert claim_stage(database, StageMessage(run_id, Stage.DISCOVER, 2), TERMS) is NotClaimed.DROPPED

    def test_a_message_of_an_unknown_run_is_dropped(self, database: Database) -> None:
        message = StageMessage(UUID(int=7), Stage.DISCOVER, 1)
        assert claim_stage(database, message, TERMS) is NotClaimed.DROPPED

    def test_the_run_is_running_from_its_first_claim_on(self, database: Database, start: Start, claim: ClaimIt) -> None:
        run_id = start()
        claim(run_id, Stage.DISCOVER)
        run, stages = look(database, run_id)
        assert (run.status, run.current_task_name) == (RunStatus.RUNNING, "discover")
        assert run.started_at is not None
        assert stages[Stage.DISCOVER].owner == TERMS.owner


class TestSlot:
    def test_a_stage_without_a_slot_waits_and_is_no_start(self, database: Database, start: Start, reach: Reach) -> None:
        run_id = start()
        reach(run_id, Stage.SUBMIT)

        park_for_slot(database, StageMessage(run_id, Stage.SUBMIT, 1), look_again=timedelta(minutes=5))

        _, stages = look(database, run_id)
        row = stages[Stage.SUBMIT]
        assert (row.status, row.token, row.started_at, row.crashes) == (StageStatus.WAITING, 0, None, 0)

    def test_a_freed_slot_wakes_it_before_its_time(
        self, database: Database, start: Start, reach: Reach, claim: ClaimIt
    ) -> None:
        run_id = start()
        reach(run_id, Stage.SUBMIT)
        park_for_slot(database, StageMessage(run_id, Stage.SUBMIT, 1), look_again=timedelta(minutes=5))
        assert not wake(database, run_id, grace=GRACE)

        assert wake(database, run_id, grace=GRACE, waiting_for="agent_slot")

        assert claim(run_id, Stage.SUBMIT).token == 1


class TestComplete:
    def test_all_stages_in_order_end_the_run_as_succeeded(
        self, database: Database, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        ends = [complete(claim(run_id, stage), Done(results()[stage])) for stage in STAGES]
        run, stages = look(database, run_id)
        assert ends == [Completion.ADVANCED] * 4 + [Completion.ENDED]
        assert (run.status, run.phase, run.outcome) == (RunStatus.SUCCEEDED, "complete", "pull_request_created")
        assert run.finished_at is not None
        assert {row.status for row in stages.values()} == {StageStatus.SUCCEEDED}
        assert (run.pr_number, run.branch_name) == (1, "moonmind/001-habits/phase-3-story")

    def test_a_repeat_after_a_lost_answer_gives_the_same_answer(
        self, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        claimed = claim(start(), Stage.DISCOVER)
        outcome = Done(results()[Stage.DISCOVER])
        assert [complete(claimed, outcome), complete(claimed, outcome)] == [Completion.ADVANCED] * 2

    def test_a_holder_whose_stage_was_taken_over_writes_nothing(
        self, database: Database, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        zombie = claim(run_id, Stage.DISCOVER)
        end_lease(database, zombie)
        take_over(database, run_id, held_by=None, crashed=True, grace=GRACE)
        successor = claim(run_id, Stage.DISCOVER)

        assert complete(zombie, Done(results()[Stage.DISCOVER])) is Completion.STALE
        with pytest.raises(StaleClaimError):
            ClaimGuard(database, zombie).begin(PushIntent("moonmind/x", "5" * 40))
        assert complete(successor, Done(results()[Stage.DISCOVER])) is Completion.ADVANCED

    def test_no_work_ends_the_run_and_skips_the_rest(
        self, database: Database, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        ended = Ended(RunStatus.NO_WORK, "All done.", outcome=RunOutcome.ALL_DONE)
        assert complete(claim(run_id, Stage.DISCOVER), ended) is Completion.ENDED
        run, stages = look(database, run_id)
        assert (run.status, run.outcome, run.failure_code) == (RunStatus.NO_WORK, "all_done", None)
        assert [stages[stage].status for stage in STAGES] == ["succeeded", *["skipped"] * 4]

    def test_a_failure_keeps_code_words_and_remedy_with_the_runs_id(
        self, database: Database, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        complete(claim(run_id, Stage.DISCOVER), Ended.failed(FailureCode.TASKS_FILE_MISSING, "There is none."))
        run, stages = look(database, run_id)
        assert (run.status, run.failure_code, run.failure_stage) == ("failed", "tasks_file_missing", "discover")
        assert str(run_id) in (run.failure_remedy or "")
        assert stages[Stage.DISCOVER].status == StageStatus.FAILED

    def test_a_parked_stage_is_claimed_again_only_when_due(
        self, database: Database, start: Start, reach: Reach, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        reach(run_id, Stage.APPLY)
        parked = Parked(timedelta(hours=1), "The agent is still at work.")
        assert complete(claim(run_id, Stage.APPLY), parked) is Completion.PARKED
        assert claim_stage(database, StageMessage(run_id, Stage.APPLY, 1), TERMS) is NotClaimed.DROPPED
        assert not wake(database, run_id, grace=GRACE)
        _, stages = look(database, run_id)
        assert (stages[Stage.APPLY].lease_until, stages[Stage.APPLY].crashes) == (None, 0)

    def test_events_tell_every_transition_in_order_without_holes(
        self, database: Database, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        complete(claim(run_id, Stage.DISCOVER), Done(results()[Stage.DISCOVER]))
        with database.reading() as session:
            events = Repositories(session, database.clock).runs.events(run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [(event.type, event.status) for event in events] == [
            ("run", "pending"),
            ("run", "running"),
            ("stage", "running"),
            ("stage", "succeeded"),
        ]


class TestTakeOver:
    def test_a_live_lease_is_left_alone(self, database: Database, start: Start, claim: ClaimIt) -> None:
        run_id = start()
        claim(run_id, Stage.DISCOVER)
        assert not take_over(database, run_id, held_by=None, crashed=True, grace=GRACE)

    def test_an_expired_lease_is_queued_again_with_a_message(
        self, database: Database, start: Start, claim: ClaimIt
    ) -> None:
        run_id = start()
        claimed = claim(run_id, Stage.DISCOVER)
        end_lease(database, claimed)

        assert take_over(database, run_id, held_by=None, crashed=True, grace=GRACE)

        _, stages = look(database, run_id)
        assert (stages[Stage.DISCOVER].status, stages[Stage.DISCOVER].crashes) == (StageStatus.QUEUED, 1)
        assert unsent(database, run_id)
        assert claim(run_id, Stage.DISCOVER).token == 2

    def test_a_dead_holder_loses_its_stage_at_once_and_a_living_one_does_not(
        self, database: Database, start: Start, claim: ClaimIt
    ) -> None:
        run_id = start()
        claim(run_id, Stage.DISCOVER)
        assert not take_over(database, run_id, held_by=frozenset({"worker-b"}), crashed=True, grace=GRACE)
        assert take_over(database, run_id, held_by=frozenset({TERMS.owner}), crashed=True, grace=GRACE)

    def test_a_clean_shutdown_is_no_crash(self, database: Database, start: Start, claim: ClaimIt) -> None:
        run_id = start()
        claim(run_id, Stage.DISCOVER)
        take_over(database, run_id, held_by=frozenset({TERMS.owner}), crashed=False, grace=GRACE)
        _, stages = look(database, run_id)
        assert stages[Stage.DISCOVER].crashes == 0

    def test_the_fifth_crash_ends_the_run(self, database: Database, start: Start, claim: ClaimIt) -> None:
        run_id = start()
        for _ in range(MAX_CRASHES):
            claim(run_id, Stage.DISCOVER)
            assert take_over(database, run_id, held_by=frozenset({TERMS.owner}), crashed=True, grace=GRACE)
        run, stages = look(database, run_id)
        assert (run.status, run.failure_code) == (RunStatus.FAILED, FailureCode.STAGE_CRASHED_REPEATEDLY)
        assert all(StageStatus(row.status).is_finished for row in stages.values())

    def test_two_sweepers_at_once_take_over_once(self, database: Database, start: Start, claim: ClaimIt) -> None:
        run_id = start()
        end_lease(database, claim(run_id, Stage.DISCOVER))
        with ThreadPoolExecutor(4) as pool:
            taken = list(
                pool.map(lambda _: take_over(database, run_id, held_by=None, crashed=True, grace=GRACE), range(4))
            )
        _, stages = look(database, run_id)
        assert (sum(taken), stages[Stage.DISCOVER].crashes) == (1, 1)


class TestRenew:
    def test_a_lease_is_not_renewed_past_the_deadline_or_after_its_end(
        self, database: Database, start: Start, claim: ClaimIt
    ) -> None:
        short = ClaimTerms(owner="worker-a", lease=timedelta(seconds=60), limit=timedelta(seconds=-1))
        past_deadline = claim(start(), Stage.DISCOVER, terms=short)
        with database.transaction() as session:
            stages = Repositories(session, database.clock).stages
            assert not stages.renew(past_deadline.stage_id, token=1, lease=timedelta(seconds=60))

    def test_only_the_tokens_holder_renews(self, database: Database, start: Start, claim: ClaimIt) -> None:
        claimed = claim(start(), Stage.DISCOVER)
        with database.transaction() as session:
            stages = Repositories(session, database.clock).stages
            assert stages.renew(claimed.stage_id, token=1, lease=timedelta(seconds=60))
            assert not stages.renew(claimed.stage_id, token=2, lease=timedelta(seconds=60))


class TestSendAgain:
    def test_the_wait_doubles_and_an_unsent_row_is_not_doubled(self, database: Database, start: Start) -> None:
        run_id = start()
        longest = timedelta(minutes=15)
        assert not send_again(database, run_id, grace=GRACE, longest=longest), "its first row is still unsent"
        with database.transaction() as session:
            outbox = Repositories(session, database.clock).outbox
            row = outbox.lease_next(lease=GRACE, sender="relay")
            assert row is not None
            outbox.mark_sent(row.id)

        assert send_again(database, run_id, grace=GRACE, longest=longest)

        run, stages = look(database, run_id)
        row_after = stages[Stage.DISCOVER]
        assert (run.epoch, row_after.dispatches) == (1, 1)
        assert row_after.next_dispatch_at is not None
        assert row_after.next_dispatch_at - run.created_at >= GRACE * 2 - timedelta(seconds=5)
