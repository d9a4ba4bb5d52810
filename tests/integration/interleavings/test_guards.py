"""
Leave one guard out at a time, and see the damage that it prevents.

Each test plays the same interleaving twice: with the guard, where nothing happens, and without
it. A guard whose absence does no damage would be dead weight, and a test that passes without its
guard proves nothing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text

from api_service.db.models import SpecWorkflowRun
from api_service.db.session import Database
from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import PullRequest, PullRequestState, PushIntent, PushReport, Remote, RepositoryFacts
from moonmind.domain.states import Stage
from moonmind.testing.forges import InMemoryForge
from moonmind.testing.workspaces import InMemoryWorkspace
from moonmind.workflows import cancel_spec_workflow_run, start_spec_workflow_run
from moonmind.workflows.speckit_celery.claims import take_over
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.repositories import Repositories, RunRepository
from tests.integration.interleavings.conftest import claimed, end_lease, paused_before_commit, run_at
from tests.integration.workflow.conftest import GRACE, order
from tests.unit.stages.desk import BRANCH, REPOSITORY, Desk, failure

guarded = pytest.mark.parametrize("is_guarded", [True, False], ids=["with the guard", "without it"])


def lock_nothing(repository: RunRepository, run_id: UUID) -> SpecWorkflowRun | None:
    return repository._session.scalar(select(SpecWorkflowRun).where(SpecWorkflowRun.id == run_id))


@guarded
@pytest.mark.postgresql
def test_the_lock_on_the_run_stops_a_push_that_a_cancel_came_before(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch, is_guarded: bool
) -> None:
    """Without it the push reads the run as it was before the cancel, and begins after it."""
    run_id = run_at(postgresql, Stage.PUBLISH)
    guard = ClaimGuard(postgresql, claimed(postgresql, run_id, Stage.PUBLISH))
    if not is_guarded:
        monkeypatch.setattr(RunRepository, "lock", lock_nothing)

    def push() -> str:
        try:
            guard.begin(PushIntent(BRANCH, "5" * 40))
        except CancelRecordedError:
            return "refused"
        return "pushed"

    with (
        paused_before_commit(postgresql, lambda: cancel_spec_workflow_run(postgresql, run_id, reason=None)) as cancel,
        ThreadPoolExecutor(1) as pool,
    ):
        pushing = pool.submit(push)
        wait_for_a_waiting_transaction(postgresql)
        cancel.resume()
        assert pushing.result() == ("refused" if is_guarded else "pushed")


class UnfencedGuard(ClaimGuard):
    """A guard that asks nobody whether the stage is still its own."""

    def _fence(self, repositories: Repositories) -> None:
        """Let everybody pass."""


@guarded
def test_the_fence_stops_a_worker_that_slept_through_its_lease(sqlite_url: str, is_guarded: bool) -> None:
    """Without it the sleeper pushes beside the successor that was given its stage."""
    database = Database(sqlite_url)
    run_id = run_at(database, Stage.PUBLISH)
    sleeper = claimed(database, run_id, Stage.PUBLISH)
    end_lease(database, sleeper)
    take_over(database, run_id, held_by=None, crashed=True, grace=GRACE)
    successor = claimed(database, run_id, Stage.PUBLISH, owner="worker-b")
    guard = ClaimGuard if is_guarded else UnfencedGuard
    pushed_by: list[int] = []

    for held in (sleeper, successor):
        try:
            guard(database, held).begin(PushIntent(BRANCH, f"{held.token}" * 40))
        except StaleClaimError:
            continue
        pushed_by.append(held.token)

    assert pushed_by == ([2] if is_guarded else [1, 2])
    database.dispose()


@guarded
def test_a_commit_that_is_the_same_each_time_is_pushed_once(planned: Desk, is_guarded: bool) -> None:
    """With the time of each delivery in it, a repeat would replace the commit that people review."""
    ready = planned.ready_to_publish()
    planned.publish(ready)
    reviewed = planned.forge.tip(REPOSITORY, BRANCH)

    planned.publish(ready if is_guarded else replace(ready, created_at=ready.created_at + timedelta(minutes=1)))

    assert len(planned.workspace.pushed) == (1 if is_guarded else 2)
    assert (planned.forge.tip(REPOSITORY, BRANCH) == reviewed) is is_guarded


class BlindForge(InMemoryForge):
    """A forge on which nothing is looked up."""

    def pull_requests(self, facts: RepositoryFacts, *, head: str) -> Sequence[PullRequest]:
        """See nothing."""
        return ()


@guarded
def test_the_look_up_by_marker_respects_a_pull_request_that_was_closed(tmp_path: Path, is_guarded: bool) -> None:
    """
    A worker opened the pull request and died before it could say so; a person closed it.

    Without the look-up the repeat asks the same person again.
    """
    desk = Desk(tmp_path, forge=InMemoryForge() if is_guarded else BlindForge())
    desk.plan()
    ready = desk.ready_to_publish()
    desk.publish(ready)
    desk.forge.close(REPOSITORY, 1)

    outcome = desk.publish(ready)

    states = [request.state for request in desk.forge.opened]
    if is_guarded:
        assert (failure(outcome), states) == (FailureCode.PULL_REQUEST_CLOSED, [PullRequestState.CLOSED])
    else:
        assert states == [PullRequestState.CLOSED, PullRequestState.OPEN]


class ForcingWorkspace(InMemoryWorkspace):
    """A workspace that pushes as `git push --force` does."""

    def push(self, remote: Remote, *, branch: str, commit: str, expected: str | None) -> PushReport:
        """Expect whatever is there."""
        return super().push(remote, branch=branch, commit=commit, expected=self.remote_tip(remote, branch))


@guarded
def test_the_lease_on_the_push_keeps_what_others_push_meanwhile(tmp_path: Path, is_guarded: bool) -> None:
    """Somebody pushes to the branch after we looked; without the lease their commit is gone."""
    desk = Desk(tmp_path)
    if not is_guarded:
        desk.workspace = ForcingWorkspace(tmp_path / "trees", on_push=desk.forge.push)
    desk.plan()
    ready = desk.ready_to_publish()
    theirs: list[str] = []
    desk.guard.after(PushIntent, lambda: theirs.append(desk.commit(BRANCH, {"theirs.txt": b"theirs\n"})))

    code = None
    try:
        desk.publish(ready)
    except WorkflowError as error:
        code = error.code

    assert code is (FailureCode.BRANCH_MOVED if is_guarded else None)
    assert (desk.forge.tip(REPOSITORY, BRANCH) == theirs[0]) is is_guarded


@guarded
@pytest.mark.postgresql
def test_the_index_on_active_features_leaves_one_of_two_orders(postgresql: Database, is_guarded: bool) -> None:
    """Both look before either commits; without the index both see that nobody works on the feature."""
    if not is_guarded:
        with postgresql.transaction() as session:
            session.execute(text("DROP INDEX uq_spec_workflow_runs_active_feature"))

    def start() -> str:
        try:
            start_spec_workflow_run(postgresql, order(), grace=GRACE)
        except WorkflowError as error:
            return error.code.value
        return "accepted"

    with paused_before_commit(postgresql, start) as first, ThreadPoolExecutor(1) as pool:
        second = pool.submit(start)
        if is_guarded:
            wait_for_a_waiting_transaction(postgresql)
        else:
            second.result()
        answers = [first.resume(), second.result()]

    assert answers == (["accepted", "workflow_conflict"] if is_guarded else ["accepted", "accepted"])


def wait_for_a_waiting_transaction(database: Database) -> None:
    """Return once one transaction waits for the lock of another."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(1_000):
        with database.reading() as session:
            if session.execute(waiting).scalar_one():
                return
            session.execute(text("SELECT pg_sleep(0.01)"))
    pytest.fail("nobody waits")


@pytest.fixture
def planned(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.plan()
    return desk
