"""Order a run: one transaction that holds the run, its stages, its first event and the chain to send."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.states import STAGES
from moonmind.workflows.speckit_celery.repositories import NewRun, Repositories


@dataclass(frozen=True)
class IdempotentRequest:
    """A request that may be sent again: the same key and body give the same run."""

    token_id: str
    key: str
    body_sha256: str


def start_spec_workflow_run(
    database: Database, order: NewRun, *, grace: timedelta, request: IdempotentRequest | None = None
) -> UUID:
    """
    Record a run with its five stages, its first event and the chain to send, as one transaction.

    Nothing is sent here, so this works while the broker is down. Raises `workflow_conflict`
    with the active run's id, or `idempotency_key_reused`.
    """
    try:
        return _start(database, order, grace=grace, request=request)
    except IntegrityError as error:
        if "unique" not in str(error.orig).lower():
            raise
        # Somebody committed the same feature or the same key in between; now both can be read.
        return _after_race(database, order, request)


def _start(database: Database, order: NewRun, *, grace: timedelta, request: IdempotentRequest | None) -> UUID:
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        earlier = _earlier(repositories, request)
        if earlier is not None:
            return earlier
        _refuse_conflict(repositories, order)
        run = repositories.runs.add(order)
        repositories.stages.add(run, STAGES, attempt=1, grace=grace)
        repositories.outbox.add(run, STAGES[0])
        if request is not None:
            repositories.idempotency.add(
                token_id=request.token_id, key=request.key, body_sha256=request.body_sha256, run_id=run.id
            )
        return run.id


def _after_race(database: Database, order: NewRun, request: IdempotentRequest | None) -> UUID:
    with database.transaction() as session:
        repositories = Repositories(session, database.clock)
        earlier = _earlier(repositories, request)
        if earlier is not None:
            return earlier
        _refuse_conflict(repositories, order)
    detail = f"Another request for {order.repository} was decided at the same moment."
    raise WorkflowError(FailureCode.WORKFLOW_CONFLICT, detail)


def _earlier(repositories: Repositories, request: IdempotentRequest | None) -> UUID | None:
    if request is None:
        return None
    row = repositories.idempotency.find(token_id=request.token_id, key=request.key)
    if row is None:
        return None
    if row.body_sha256 != request.body_sha256:
        detail = f"The key {request.key!r} stands for another request body."
        raise WorkflowError(FailureCode.IDEMPOTENCY_KEY_REUSED, detail, runId=str(row.run_id))
    return row.run_id


def _refuse_conflict(repositories: Repositories, order: NewRun) -> None:
    active = repositories.runs.active_like(order)
    if active is not None:
        named = active.feature_dir or active.feature_key or "this repository's feature"
        detail = f"Run {active.id} already works on {named} of {active.repository}."
        raise WorkflowError(FailureCode.WORKFLOW_CONFLICT, detail, runId=str(active.id))
