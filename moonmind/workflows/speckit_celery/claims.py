"""Take stages and give them up: the only ways into and out of `running` without a result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from api_service.db.models import SpecWorkflowRun, SpecWorkflowTaskState
from api_service.db.session import Database
from moonmind.domain.claims import (
    Claim,
    ClaimedStage,
    NotClaimed,
    Readiness,
    RunView,
    StageMessage,
    first_unfinished,
    readiness,
)
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Ended
from moonmind.domain.states import RunStatus, Stage, StageStatus
from moonmind.workflows.speckit_celery.endings import cancel_closes, close_as_cancelled, end_run
from moonmind.workflows.speckit_celery.repositories import Repositories, Stages

MAX_CRASHES = 5
WAITING_FOR_SLOT = "agent_slot"
WAITING_FOR_STORE = "artifact_store"
_LONGEST_LINE = 60
_LOOK_FOR_STORE = timedelta(seconds=15)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ClaimTerms:
    """
    How long a claim is good for: the lease is renewed, the limit is not.

    `store_id` is the artifact store that the worker sees; None when it sees none.
    """

    owner: str
    lease: timedelta
    limit: timedelta
    store_id: str | None = None


def claim_stage(database: Database, message: StageMessage, terms: ClaimTerms) -> Claim:
    """
    Take a ready stage for one delivery of its message.

    Brokers deliver twice and workers die, so callers must expect DONE and DROPPED. The run
    row's lock comes first; without it a cancel or a second copy could slip in between.
    """
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        ready = _ready(repositories, message)
        if isinstance(ready, NotClaimed):
            return ready
        run, stages = ready
        row = stages[message.stage]
        if _is_elsewhere(run, message.stage, terms.store_id):
            _log.error("artifact_store_foreign", run=str(run.id), wanted=run.artifact_store_id, here=terms.store_id)
            words = "Waiting for a worker that has the artifact store of this run."
            _park_ready(repositories, run, row, waiting_for=WAITING_FOR_STORE, after=_LOOK_FOR_STORE, words=words)
            return NotClaimed.DROPPED
        repositories.stages.start(row, owner=terms.owner, lease=terms.lease, limit=terms.limit)
        if RunStatus(run.status) is not RunStatus.RUNNING:
            repositories.runs.move(
                run,
                RunStatus.RUNNING,
                message="The first stage of this attempt started.",
            )
        repositories.runs.reach(run, message.stage)
        repositories.runs.record_stage(run, row)
        return ClaimedStage(row.id, run.id, message.stage, row.attempt, run.epoch, row.token)


def park_for_slot(database: Database, message: StageMessage, *, look_again: timedelta) -> NotClaimed:
    """
    Park a ready stage until an agent slot is free; this is no start and takes no token.

    A freed slot wakes it; `look_again` is for slots that are freed by a worker's death, and
    for the oldest waiter: each later one looks less often, or a long line would do nothing else.
    """
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        ready = _ready(repositories, message)
        if isinstance(ready, NotClaimed):
            return ready
        run, stages = ready
        row = stages[message.stage]
        ahead = repositories.stages.waiting_before(run.id, WAITING_FOR_SLOT)
        after = look_again * (1 + min(ahead, _LONGEST_LINE))
        words = "Waiting for a free agent slot."
        _park_ready(repositories, run, row, waiting_for=WAITING_FOR_SLOT, after=after, words=words)
        return NotClaimed.DROPPED


def take_over(
    database: Database,
    run_id: UUID,
    *,
    held_by: frozenset[str] | None,
    crashed: bool,
    grace: timedelta,
) -> bool:
    """
    Take a running stage from a holder that is gone, and ask for its message again.

    `held_by` names holders that are known to be dead; None means whoever let the lease
    expire. A crash counts; the fifth ends the run, since this stage kills its worker. After
    a clean shutdown nothing is counted.
    """
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.lock_if_free(run_id)
        if run is None:
            return False
        stages = repositories.stages.latest(run_id)
        stage = _abandoned(repositories, stages, held_by)
        if stage is None:
            return False
        row = stages[stage]
        row.crashes += int(crashed)
        if row.crashes >= MAX_CRASHES:
            detail = f"The stage {stage} ended its worker {row.crashes} times."
            end_run(repositories, run, stages, stage, Ended.failed(FailureCode.STAGE_CRASHED_REPEATEDLY, detail))
            return True
        if cancel_closes(run, stages):
            close_as_cancelled(repositories, run, stages)
            return True
        repositories.stages.move(row, StageStatus.QUEUED)
        message = "Its worker is gone; the stage is queued again." if crashed else "Its worker was stopped."
        repositories.runs.record_stage(run, row, message=message)
        _ask_again(repositories, run, stages, grace=grace)
        return True


def _abandoned(repositories: Repositories, stages: Stages, held_by: frozenset[str] | None) -> Stage | None:
    """Return the running stage that its holder lost; None when somebody may still be at it."""
    for stage, row in stages.items():
        if row.status != StageStatus.RUNNING.value:
            continue
        if held_by is None:
            return stage if repositories.stages.is_abandoned(row.id, token=row.token) else None
        return stage if row.owner in held_by else None
    return None


def wake(
    database: Database,
    run_id: UUID,
    *,
    grace: timedelta,
    waiting_for: str | None = None,
) -> bool:
    """Queue a waiting stage again and ask for its message; `waiting_for` wakes it before its time."""
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.lock_if_free(run_id)
        if run is None:
            return False
        stages = repositories.stages.latest(run_id)
        row = next(
            (row for row in stages.values() if row.status == StageStatus.WAITING.value),
            None,
        )
        if row is None or (waiting_for is not None and row.waiting_for != waiting_for):
            return False
        if waiting_for is None and not repositories.stages.is_due(row.id):
            return False
        repositories.stages.move(row, StageStatus.QUEUED)
        repositories.runs.record_stage(run, row)
        _ask_again(repositories, run, stages, grace=grace)
        return True


def send_again(database: Database, run_id: UUID, *, grace: timedelta, longest: timedelta) -> bool:
    """
    Ask once more for the message of a ready stage that the broker seems to have lost.

    The epoch stays: a new one would kill the messages that are still queued and starve a
    backlog. The wait doubles each time, so that a slow queue is not flooded.
    """
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.lock_if_free(run_id)
        if run is None or repositories.outbox.has_unsent(run_id):
            return False
        stages = repositories.stages.latest(run_id)
        stage = first_unfinished(statuses_of(stages))
        if stage is None or _ready(repositories, StageMessage(run_id, stage, run.epoch)) is NotClaimed.DROPPED:
            return False
        row = stages[stage]
        wait = min(grace * 2 ** min(row.dispatches + 1, 20), longest)
        row.dispatches += 1
        _ask_again(repositories, run, stages, grace=wait)
        return True


def cancel_if_asked(database: Database, run_id: UUID) -> bool:
    """Close a run whose cancel was recorded, unless a live holder is about to end its stage itself."""
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        run = repositories.runs.lock_if_free(run_id)
        if run is None or run.cancel_requested_at is None or not RunStatus(run.status).is_active:
            return False
        stages = repositories.stages.latest(run_id)
        if not cancel_closes(run, stages):
            return False
        at_work = any(row.status == StageStatus.RUNNING.value for row in stages.values())
        if at_work and _abandoned(repositories, stages, held_by=None) is None:
            return False
        close_as_cancelled(repositories, run, stages)
        return True


def statuses_of(stages: Stages) -> Mapping[Stage, StageStatus]:
    """Return the bare statuses of stage rows."""
    return {stage: StageStatus(row.status) for stage, row in stages.items()}


def _ready(repositories: Repositories, message: StageMessage) -> tuple[SpecWorkflowRun, Stages] | NotClaimed:
    run = repositories.runs.lock(message.run_id)
    if run is None:
        return NotClaimed.DROPPED
    stages = repositories.stages.latest(message.run_id)
    view = RunView(RunStatus(run.status), run.epoch, cancel_closes(run, stages))
    match readiness(message, view, statuses_of(stages)):
        case Readiness.READY:
            return run, stages
        case Readiness.DONE:
            return NotClaimed.DONE
        case _:
            return NotClaimed.DROPPED


def _is_elsewhere(run: SpecWorkflowRun, stage: Stage, store_id: str | None) -> bool:
    """Say whether a stage needs files that this worker does not see; discover needs none and may begin anew here."""
    return stage is not Stage.DISCOVER and run.artifact_store_id not in {None, store_id}


def _park_ready(
    repositories: Repositories,
    run: SpecWorkflowRun,
    row: SpecWorkflowTaskState,
    *,
    waiting_for: str,
    after: timedelta,
    words: str,
) -> None:
    """Park a stage that was not started: no token is taken and nothing counts as a crash."""
    repositories.stages.wait(row, after=after, waiting_for=waiting_for)
    row.message = words
    repositories.runs.record_stage(run, row, message=words)


def _ask_again(
    repositories: Repositories,
    run: SpecWorkflowRun,
    stages: Stages,
    *,
    grace: timedelta,
) -> None:
    stage = first_unfinished(statuses_of(stages))
    if stage is None:
        return
    repositories.stages.expect_message(stages[stage], within=grace)
    repositories.outbox.add(run, stage)
