"""Decide who may work on a stage: the rules of a claim, free of any database."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from moonmind.domain.states import RunStatus, Stage, StageStatus


@dataclass(frozen=True)
class StageMessage:
    """What a Celery message carries: ids, and nothing that could be out of date."""

    run_id: UUID
    stage: Stage
    epoch: int


@dataclass(frozen=True)
class ClaimedStage:
    """A stage that is ours until its lease ends; the token fences everybody before us."""

    stage_id: UUID
    run_id: UUID
    stage: Stage
    attempt: int
    epoch: int
    token: int


class NotClaimed(Enum):
    """Why a message does not start its stage."""

    DONE = auto()
    """The stage succeeded already: this copy of the chain passes through."""
    DROPPED = auto()
    """Another copy is ahead, or the run is over: this copy of the chain ends here."""


Claim = ClaimedStage | NotClaimed


class Readiness(Enum):
    """What a message meets."""

    READY = auto()
    DONE = auto()
    NOT_READY = auto()


@dataclass(frozen=True)
class RunView:
    """The part of a run that decides whether its stages may start."""

    status: RunStatus
    epoch: int
    cancel_requested: bool


def readiness(message: StageMessage, run: RunView, stages: Mapping[Stage, StageStatus]) -> Readiness:
    """
    Say whether the stage of a message may be claimed.

    Only a queued stage whose earlier stages all succeeded is ready, in a run that is active,
    of the message's epoch and not to be cancelled. Messages of another epoch belong to an
    attempt that is over, so they are never let through, not even past a finished stage.
    """
    if message.epoch != run.epoch:
        return Readiness.NOT_READY
    status = stages[message.stage]
    if status is StageStatus.SUCCEEDED:
        return Readiness.DONE
    if status is not StageStatus.QUEUED or not run.status.is_active or run.cancel_requested:
        return Readiness.NOT_READY
    if any(stages[earlier] is not StageStatus.SUCCEEDED for earlier in message.stage.earlier):
        return Readiness.NOT_READY
    return Readiness.READY


def first_unfinished(stages: Mapping[Stage, StageStatus]) -> Stage | None:
    """Return the stage at which the chain has to go on; None when all succeeded."""
    return next((stage for stage in Stage if stages[stage] is not StageStatus.SUCCEEDED), None)
