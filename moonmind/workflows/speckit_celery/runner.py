"""Run one stage for one message: claim it, keep it, work, and write down how it ended."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from celery.exceptions import Ignore

from moonmind.domain.claims import Claim, ClaimedStage, NotClaimed, StageMessage
from moonmind.domain.errors import CancelRecordedError, StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Done, Ended, Outcome
from moonmind.domain.states import RunStatus
from moonmind.telemetry.redaction import Redactor
from moonmind.workflows.speckit_celery.claim_artifacts import ClaimArtifacts
from moonmind.workflows.speckit_celery.claims import ClaimTerms, claim_stage, park_for_slot
from moonmind.workflows.speckit_celery.completion import Completion, complete_stage
from moonmind.workflows.speckit_celery.credentials import RecordedCredentials
from moonmind.workflows.speckit_celery.guard import ClaimGuard
from moonmind.workflows.speckit_celery.heartbeat import StageLease
from moonmind.workflows.speckit_celery.recording import without_secrets
from moonmind.workflows.speckit_celery.services import Services
from moonmind.workflows.speckit_celery.summaries import write_summary

_log = structlog.get_logger(__name__)
_COMPLETE_PAUSE_SECONDS = 0.5
_CANCELLED = Ended(RunStatus.CANCELLED, "The run was cancelled while this stage was at work.")


@dataclass(frozen=True)
class StageContext:
    """What the runner gives to the work of one claim."""

    claimed: ClaimedStage
    lease: StageLease
    guard: ClaimGuard
    artifacts: ClaimArtifacts
    credentials: RecordedCredentials


StageWork = Callable[[StageContext], Outcome]


def run_stage(services: Services, message: StageMessage, work: StageWork) -> None:
    """
    Run the work of a stage if its message may start it.

    Returns normally only when the chain may go on; otherwise raises `Ignore`, which ends this
    copy of the chain without a failure. Delivering a message again is always safe.
    """
    with structlog.contextvars.bound_contextvars(run=str(message.run_id), stage=message.stage.value):
        with services.slots.take(needed=services.needs_slot(message.run_id, message.stage)) as may_start:
            asked_at = time.monotonic()
            claim = _claim(services, message, may_start=may_start)
            if claim is NotClaimed.DONE:
                return
            if claim is NotClaimed.DROPPED:
                raise Ignore
            completion = _perform(services, claim, work, asked_at=asked_at)
        if completion is Completion.ENDED:
            # The sweep repeats this until the summary is there, so a failure here loses nothing.
            with suppress(WorkflowError):
                write_summary(services.database, services.store, message.run_id)
        if completion is not Completion.ADVANCED:
            raise Ignore


def _claim(services: Services, message: StageMessage, *, may_start: bool) -> Claim:
    if not may_start:
        return park_for_slot(services.database, message, look_again=services.timing.poll)
    timing = services.timing
    terms = ClaimTerms(services.holder, timing.lease, timing.limit(message.stage), _store_id(services))
    return claim_stage(services.database, message, terms)


def _store_id(services: Services) -> str | None:
    """Return the store that this worker sees; without one it hands back the stages that need files."""
    with suppress(WorkflowError):
        return services.store.store_id
    return None


def _perform(services: Services, claimed: ClaimedStage, work: StageWork, *, asked_at: float) -> Completion:
    started = time.monotonic()
    services.metrics.stage_started(claimed.stage, claimed.attempt)
    if claimed.attempt > 1:
        services.metrics.stage_retried(claimed.stage, claimed.attempt)
    _log.info("stage_started", attempt=claimed.attempt, token=claimed.token)
    artifacts = ClaimArtifacts(services.store, claimed)
    timing = services.timing
    lease = StageLease(
        services.database,
        claimed,
        lease=timing.lease,
        beat=timing.beat,
        book=services.leases,
        asked_at=asked_at,
    )
    with lease:
        context = StageContext(
            claimed,
            lease,
            ClaimGuard(services.database, claimed),
            artifacts,
            services.credentials(claimed.run_id),
        )
        outcome = _outcome(context, work)
        if outcome is not None:
            outcome = without_secrets(outcome, Redactor(services.policy.known_secrets).text)
        seconds = time.monotonic() - started
        completion = Completion.STALE
        if outcome is not None:
            completion = _complete(services, context, outcome, duration_ms=int(seconds * 1000))
    _report(services, claimed, outcome, completion, seconds)
    return completion


def _outcome(context: StageContext, work: StageWork) -> Outcome | None:
    """Return how the work ended; None when the stage has to be left to whoever takes it over."""
    try:
        return work(context)
    except StaleClaimError:
        if context.lease.cancelled:
            return _CANCELLED
        _log.warning("stage_lost", token=context.claimed.token)
        return None
    except CancelRecordedError:
        return _CANCELLED
    except WorkflowError as error:
        if error.code is FailureCode.DATABASE_UNAVAILABLE:
            # Not the run's fault: the lease ends, and the stage is done again.
            _log.warning("stage_interrupted", detail=error.detail)
            return None
        return Ended.failed(error.code, error.detail)
    # The process edge: a bug ends its run with a code, and its traceback is logged.
    except Exception as error:  # noqa: BLE001
        _log.exception("stage_failed_unexpectedly")
        return Ended.failed(FailureCode.STAGE_FAILED_UNEXPECTEDLY, f"{type(error).__name__}: {error}")


def _complete(services: Services, context: StageContext, outcome: Outcome, *, duration_ms: int) -> Completion:
    """Write the outcome down, waiting for the database as long as the lease lasts."""
    while True:
        try:
            return complete_stage(
                services.database,
                context.claimed,
                outcome,
                artifacts=context.artifacts.recorded,
                grace=services.timing.grace,
                duration_ms=duration_ms,
            )
        except WorkflowError as error:
            if error.code is not FailureCode.DATABASE_UNAVAILABLE or context.lease.lost:
                _log.warning("outcome_not_recorded", detail=error.detail)
                return Completion.STALE
            time.sleep(_COMPLETE_PAUSE_SECONDS)
        # The process edge again: an outcome that cannot be written down ends the run instead of
        # being tried by one worker after the other.
        except Exception as error:  # noqa: BLE001
            _log.exception("outcome_not_recorded")
            if isinstance(outcome, Ended):
                return Completion.STALE
            outcome = Ended.failed(FailureCode.STAGE_FAILED_UNEXPECTEDLY, f"{type(error).__name__} while recording.")


def _report(
    services: Services, claimed: ClaimedStage, outcome: Outcome | None, completion: Completion, seconds: float
) -> None:
    status = _status_word(outcome, completion)
    services.metrics.stage_ended(claimed.stage, claimed.attempt, status=status, seconds=seconds)
    code = outcome.code.value if isinstance(outcome, Ended) and outcome.code else None
    detail = outcome.message if isinstance(outcome, Ended) else None
    _log.info("stage_ended", status=status, seconds=round(seconds, 3), code=code, detail=detail)


def _status_word(outcome: Outcome | None, completion: Completion) -> str:
    if completion is Completion.STALE or outcome is None:
        return "stale"
    if isinstance(outcome, Done):
        return "success"
    if isinstance(outcome, Ended):
        return "failure" if outcome.code else outcome.status.value
    return "waiting"
