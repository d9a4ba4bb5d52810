"""Ordering a run is one transaction, and one feature has one active run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from api_service.db.session import Database
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Outcome
from moonmind.domain.states import RunStatus, Stage
from moonmind.workflows import IdempotentRequest, start_spec_workflow_run
from moonmind.workflows.speckit_celery.completion import Completion
from moonmind.workflows.speckit_celery.repositories import Repositories, RunFilter
from tests.integration.workflow.conftest import GRACE, order, results

Start = Callable[..., UUID]
ClaimIt = Callable[..., ClaimedStage]
Complete = Callable[[ClaimedStage, Outcome], Completion]


def start_or_code(database: Database, **changes: object) -> UUID | FailureCode:
    try:
        return start_spec_workflow_run(database, order(**changes), grace=GRACE)
    except WorkflowError as error:
        return error.code


def run_count(database: Database) -> int:
    with database.reading() as session:
        return len(Repositories(session, database.clock).runs.page(RunFilter(), limit=100))


class TestOneActiveRun:
    @pytest.mark.parametrize("other", ["001-habits", "specs/001-habits", "SPECS/001-Habits", "specs/001-habits/"])
    def test_other_spellings_of_the_feature_clash_and_name_the_active_run(
        self, database: Database, start: Start, other: str
    ) -> None:
        run_id = start(feature_key="001-habits")
        with pytest.raises(WorkflowError) as refused:
            start(feature_key=other, repository="Octo/HABITS")
        assert refused.value.code is FailureCode.WORKFLOW_CONFLICT
        assert refused.value.facts["runId"] == str(run_id)

    def test_many_at_once_give_one_run(self, database: Database) -> None:
        spellings = ["001-habits", "specs/001-habits", "001-HABITS", "specs/001-Habits"] * 3
        with ThreadPoolExecutor(6) as pool:
            ends = list(pool.map(lambda key: start_or_code(database, feature_key=key), spellings))
        assert sum(isinstance(end, UUID) for end in ends) == 1
        assert ends.count(FailureCode.WORKFLOW_CONFLICT) == len(spellings) - 1
        assert run_count(database) == 1

    def test_a_feature_that_was_discovered_clashes_by_its_short_name_too(
        self, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        run_id = start(feature_key=None)
        complete(claim(run_id, Stage.DISCOVER), Done(results()[Stage.DISCOVER]))
        with pytest.raises(WorkflowError, match="already works on specs/001-habits"):
            start(feature_key="001-habits")

    def test_two_runs_that_discover_the_same_feature_leave_one(
        self, database: Database, start: Start, claim: ClaimIt, complete: Complete
    ) -> None:
        first, second = start(feature_key=None), start(feature_key="001")
        complete(claim(first, Stage.DISCOVER), Done(results()[Stage.DISCOVER]))

        assert complete(claim(second, Stage.DISCOVER), Done(results()[Stage.DISCOVER])) is Completion.ENDED

        with database.reading() as session:
            run = Repositories(session, database.clock).runs.get(second)
        assert (run.status, run.failure_code) == (RunStatus.FAILED, FailureCode.WORKFLOW_CONFLICT)
        assert str(first) in (run.failure_message or "")

    def test_other_features_and_repositories_do_not_clash(self, start: Start) -> None:
        start()
        start(feature_key="002-other")
        start(repository="octo/other")


class TestIdempotencyKey:
    def test_the_same_key_and_body_give_the_same_run(self, database: Database) -> None:
        request = IdempotentRequest("token", "key-1", "a" * 64)
        with ThreadPoolExecutor(6) as pool:
            ends = list(
                pool.map(
                    lambda _: start_spec_workflow_run(database, order(), grace=GRACE, request=request),
                    range(12),
                )
            )
        assert len(set(ends)) == 1
        assert run_count(database) == 1

    def test_another_body_under_the_same_key_is_refused(self, database: Database) -> None:
        start_spec_workflow_run(database, order(), grace=GRACE, request=IdempotentRequest("token", "key-1", "a" * 64))
        with pytest.raises(WorkflowError) as refused:
            start_spec_workflow_run(
                database,
                order(feature_key="002-other"),
                grace=GRACE,
                request=IdempotentRequest("token", "key-1", "b" * 64),
            )
        assert refused.value.code is FailureCode.IDEMPOTENCY_KEY_REUSED

    def test_another_operators_key_is_another_key(self, database: Database) -> None:
        for number, token in enumerate(["token-a", "token-b"]):
            start_spec_workflow_run(
                database,
                order(feature_key=f"00{number}-x"),
                grace=GRACE,
                request=IdempotentRequest(token, "key-1", "a" * 64),
            )
        assert run_count(database) == 2
