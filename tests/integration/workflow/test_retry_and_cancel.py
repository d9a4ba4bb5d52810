"""A run that ended goes on where its failure calls for, and a cancelled one publishes nothing new."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage, NotClaimed, StageMessage
from moonmind.domain.errors import CancelRecordedError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Ended, Outcome
from moonmind.domain.ports import PullRequestIntent, PushIntent
from moonmind.domain.states import RetryMode, RunStatus, Stage, StageStatus
from moonmind.workflows import RetryRequest, cancel_spec_workflow_run, retry_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import claim_stage
from moonmind.workflows.speckit_celery.completion import Completion
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workflows.speckit_celery.storage import FileArtifactStore
from tests.integration.workflow.conftest import GRACE, TERMS, results

Start = Callable[..., UUID]
ClaimIt = Callable[..., ClaimedStage]
Complete = Callable[[ClaimedStage, Outcome], Completion]
Reach = Callable[[UUID, Stage], None]
Fail = Callable[[UUID, Stage, FailureCode], None]


@pytest.fixture
def store(tmp_path: Path) -> FileArtifactStore:
    return FileArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def fail(reach: Reach, claim: ClaimIt, complete: Complete) -> Fail:
    def fail_at(run_id: UUID, stage: Stage, code: FailureCode) -> None:
        reach(run_id, stage)
        complete(claim(run_id, stage), Ended.failed(code, "It went wrong."))

    return fail_at


def retry(
    database: Database,
    store: FileArtifactStore,
    run_id: UUID,
    mode: RetryMode = RetryMode.RESUME,
    notes: str | None = None,
    check: Callable[[str], None] = lambda _agent: None,
) -> None:
    request = RetryRequest(run_id, mode, notes)
    retry_spec_workflow_run(database, store, request, check_credentials=check, grace=GRACE)


def retry_or_code(database: Database, store: FileArtifactStore, run_id: UUID) -> str:
    try:
        retry(database, store, run_id)
    except WorkflowError as error:
        return error.code.value
    return "accepted"


class TestRetry:
    @pytest.mark.parametrize(
        ("failed_at", "code", "resumes_at"),
        [
            (Stage.PUBLISH, FailureCode.PUSH_REJECTED, Stage.PUBLISH),
            (Stage.APPLY, FailureCode.PATCH_CONFLICT, Stage.SUBMIT),
            (Stage.SUBMIT, FailureCode.AGENT_NO_CHANGE, Stage.SUBMIT),
            (Stage.PUBLISH, FailureCode.PHASE_ALREADY_LANDED, Stage.DISCOVER),
            (Stage.DISCOVER, FailureCode.REPOSITORY_UNREACHABLE, Stage.DISCOVER),
        ],
    )
    def test_it_goes_on_where_the_failure_calls_for(
        self,
        database: Database,
        store: FileArtifactStore,
        start: Start,
        fail: Fail,
        claim: ClaimIt,
        failed_at: Stage,
        code: FailureCode,
        resumes_at: Stage,
    ) -> None:
        run_id = start()
        fail(run_id, failed_at, code)

        retry(database, store, run_id)

        taken = claim(run_id, resumes_at, epoch=2)
        assert taken.attempt == 2
        with database.reading() as session:
            repositories = Repositories(session, database.clock)
            run, rows = repositories.runs.get(run_id), repositories.stages.all([run_id])
        assert (run.status, run.attempt, run.epoch, run.failure_code) == (RunStatus.RUNNING, 2, 2, None)
        assert {row.task_name for row in rows if row.attempt == 2} == set(resumes_at.onward)
        assert next(row for row in rows if row.task_name == failed_at and row.attempt == 1).code == code

    def test_a_restart_begins_with_discovery(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail, claim: ClaimIt
    ) -> None:
        run_id = start()
        fail(run_id, Stage.PUBLISH, FailureCode.PUSH_REJECTED)
        retry(database, store, run_id, RetryMode.RESTART)
        assert claim(run_id, Stage.DISCOVER, epoch=2).attempt == 2

    def test_a_message_of_the_earlier_attempt_is_worthless(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail
    ) -> None:
        run_id = start()
        fail(run_id, Stage.PUBLISH, FailureCode.PUSH_REJECTED)
        retry(database, store, run_id)
        for stage in Stage:
            assert claim_stage(database, StageMessage(run_id, stage, 1), TERMS) is NotClaimed.DROPPED

    def test_notes_and_context_are_kept(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail
    ) -> None:
        run_id = start(notes="First.")
        fail(run_id, Stage.APPLY, FailureCode.PATCH_CONFLICT)
        retry(database, store, run_id, notes="Second.")
        with database.reading() as session:
            repositories = Repositories(session, database.clock)
            run = repositories.runs.get(run_id)
            (row,) = [row for row in repositories.artifacts.all(run_id) if row.artifact_type == "retry_context"]
        assert run.notes == "First.\n\nSecond."
        download = store.open_for_download(row.path, size_bytes=row.size_bytes, sha256=row.sha256)
        context = json.loads(b"".join(download.chunks()))
        assert (context["resumeFrom"], context["failureCode"], context["notes"]) == (
            "submit",
            "patch_conflict",
            "Second.",
        )

    def test_of_a_feature_that_another_run_took_over_is_refused_and_names_it(
        self, database: Database, store: FileArtifactStore, start: Start
    ) -> None:
        run_id = start()
        cancel_spec_workflow_run(database, run_id, reason=None)
        other = start()
        with pytest.raises(WorkflowError) as refused:
            retry(database, store, run_id)
        assert refused.value.code is FailureCode.WORKFLOW_CONFLICT
        assert refused.value.facts["runId"] == str(other)

    def test_two_at_once_give_one_attempt(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail
    ) -> None:
        run_id = start()
        fail(run_id, Stage.PUBLISH, FailureCode.PUSH_REJECTED)
        with ThreadPoolExecutor(4) as pool:
            ends = sorted(pool.map(lambda _: retry_or_code(database, store, run_id), range(4)))
        assert ends == ["accepted", *["retry_not_allowed"] * 3]

    @pytest.mark.parametrize("ended", [RunStatus.PENDING, RunStatus.SUCCEEDED])
    def test_a_run_that_did_not_fail_is_not_retried(
        self,
        database: Database,
        store: FileArtifactStore,
        start: Start,
        reach: Reach,
        claim: ClaimIt,
        complete: Complete,
        ended: RunStatus,
    ) -> None:
        run_id = start()
        if ended is RunStatus.SUCCEEDED:
            reach(run_id, Stage.FINALIZE)
            complete(claim(run_id, Stage.FINALIZE), Done(results()[Stage.FINALIZE]))
        assert retry_or_code(database, store, run_id) == "retry_not_allowed"

    def test_broken_credentials_refuse_it_before_anything_is_written(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail
    ) -> None:
        run_id = start()
        fail(run_id, Stage.PUBLISH, FailureCode.FORGE_UNAVAILABLE)

        def refuse(agent: str) -> None:
            raise WorkflowError(FailureCode.CREDENTIALS_INVALID, f"{agent} cannot be used.")

        with pytest.raises(WorkflowError, match="command cannot be used"):
            retry(database, store, run_id, check=refuse)
        with database.reading() as session:
            assert Repositories(session, database.clock).runs.get(run_id).epoch == 1

    def test_another_active_run_of_the_feature_refuses_it(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail
    ) -> None:
        run_id = start()
        fail(run_id, Stage.PUBLISH, FailureCode.PUSH_REJECTED)
        start(feature_key="specs/001-habits")
        with database.transaction() as session:
            Repositories(session, database.clock).runs.get(run_id).feature = "001-habits"
        assert retry_or_code(database, store, run_id) == "workflow_conflict"


class TestCancel:
    def test_a_run_without_a_stage_at_work_is_closed_at_once(self, database: Database, start: Start) -> None:
        run_id = start()
        cancel_spec_workflow_run(database, run_id, reason="Wrong feature.")
        cancel_spec_workflow_run(database, run_id, reason="Again.")
        with database.reading() as session:
            repositories = Repositories(session, database.clock)
            run, stages = repositories.runs.get(run_id), repositories.stages.latest(run_id)
        assert (run.status, run.cancel_reason) == (RunStatus.CANCELLED, "Wrong feature.")
        assert {row.status for row in stages.values()} == {StageStatus.SKIPPED}

    def test_a_stage_at_work_may_begin_no_effect_and_its_end_closes_the_run(
        self, database: Database, start: Start, reach: Reach, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        reach(run_id, Stage.PUBLISH)
        claimed = claim(run_id, Stage.PUBLISH)
        cancel_spec_workflow_run(database, run_id, reason=None)
        with pytest.raises(CancelRecordedError):
            ClaimGuard(database, claimed).begin(PushIntent("moonmind/x", "5" * 40))
        assert complete(claimed, Ended(RunStatus.CANCELLED, "Stopped.")) is Completion.ENDED
        with database.reading() as session:
            assert Repositories(session, database.clock).runs.get(run_id).status == RunStatus.CANCELLED

    def test_once_publishing_began_the_pull_request_comes_out_and_the_run_is_cancelled_with_it(
        self, database: Database, start: Start, reach: Reach, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        reach(run_id, Stage.PUBLISH)
        claimed = claim(run_id, Stage.PUBLISH)
        guard = ClaimGuard(database, claimed)
        guard.begin(PushIntent("moonmind/x", "5" * 40))
        cancel_spec_workflow_run(database, run_id, reason=None)
        guard.begin(PullRequestIntent("moonmind/x"))

        assert complete(claimed, Done(results()[Stage.PUBLISH])) is Completion.ENDED

        with database.reading() as session:
            run = Repositories(session, database.clock).runs.get(run_id)
        assert (run.status, run.pr_url) == (RunStatus.CANCELLED, "http://forge/pulls/1")

    def test_finalize_that_is_done_wins(
        self, database: Database, start: Start, reach: Reach, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start()
        reach(run_id, Stage.FINALIZE)
        claimed = claim(run_id, Stage.FINALIZE)
        cancel_spec_workflow_run(database, run_id, reason=None)
        complete(claimed, Done(results()[Stage.FINALIZE]))
        with database.reading() as session:
            assert Repositories(session, database.clock).runs.get(run_id).status == RunStatus.SUCCEEDED

    def test_an_ended_run_is_not_cancelled(self, database: Database, start: Start, fail: Fail) -> None:
        run_id = start()
        fail(run_id, Stage.DISCOVER, FailureCode.TASKS_FILE_MISSING)
        with pytest.raises(WorkflowError) as refused:
            cancel_spec_workflow_run(database, run_id, reason=None)
        assert refused.value.code is FailureCode.CANCEL_NOT_ALLOWED

    def test_a_cancelled_run_can_be_retried(
        self, database: Database, store: FileArtifactStore, start: Start, reach: Reach, claim: ClaimIt
    ) -> None:
        run_id = start()
        reach(run_id, Stage.APPLY)
        cancel_spec_workflow_run(database, run_id, reason=None)
        retry(database, store, run_id)
        assert claim(run_id, Stage.APPLY, epoch=2).attempt == 2


class TestWhatARestartForgets:
    def test_a_restart_shows_nothing_of_the_attempt_before(
        self, database: Database, store: FileArtifactStore, start: Start, fail: Fail
    ) -> None:
        run_id = start()
        fail(run_id, Stage.FINALIZE, FailureCode.STAGE_FAILED_UNEXPECTEDLY)
        retry(database, store, run_id, RetryMode.RESTART)
        with database.reading() as session:
            run = Repositories(session, database.clock).runs.get(run_id)
        assert (run.base_sha, run.branch_name, run.pr_url, run.commit_sha) == (None, None, None, None)

    def test_what_was_pushed_still_comes_to_its_pull_request_when_a_resumed_publish_is_cancelled(
        self,
        database: Database,
        store: FileArtifactStore,
        start: Start,
        reach: Reach,
        claim: ClaimIt,
        complete: Complete,
    ) -> None:
        run_id = start()
        reach(run_id, Stage.PUBLISH)
        claimed = claim(run_id, Stage.PUBLISH)
        ClaimGuard(database, claimed).begin(PushIntent("moonmind/x", "5" * 40))
        complete(claimed, Ended.failed(FailureCode.PULL_REQUEST_REFUSED, "No."))
        retry(database, store, run_id)
        cancel_spec_workflow_run(database, run_id, reason=None)
        resumed = claim(run_id, Stage.PUBLISH, epoch=2)
        ClaimGuard(database, resumed).begin(PullRequestIntent("moonmind/x"))
