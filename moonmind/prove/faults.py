"""Name the faults that a proof injects, and draw a plan of them from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, cycle, islice
from random import Random

from moonmind.domain.states import STAGES, Stage


class StackName(StrEnum):
    """The stacks that a proof can start and break."""

    EMBEDDED = "embedded"
    REDIS = "redis"
    RABBITMQ = "rabbitmq"


class Act(StrEnum):
    """What is done to the stack; `moonmind.prove.injecting` does it."""

    KILL = "kill"
    PAUSE = "pause"
    TERMINATE = "term"
    KILL_TWICE = "kill-twice"
    KILL_IN_RECOVERY = "kill-in-recovery"
    KILL_BETWEEN_STAGES = "kill-between-stages"
    KILL_IN_RELAY = "kill-in-relay"
    TERMINATE_THEN_KILL = "term-then-kill"
    PAUSE_BRIEFLY = "pause-briefly"
    KILL_ALL_WORKERS = "kill-all-workers"
    KILL_EVERYTHING = "kill-everything"
    KILL_API = "kill-api"
    PAUSE_API = "pause-api"
    TERMINATE_API = "term-api"
    DUPLICATE_DELIVERY = "duplicate-delivery"
    OLD_EPOCH_MESSAGE = "old-epoch-message"
    HOLD_DATABASE = "hold-database"
    RESTART_DATABASE = "restart-database"
    KILL_DATABASE_SESSION = "kill-database-session"
    PAUSE_DATABASE = "pause-database"
    FLUSH = "flush-queued-messages"
    KILL_BROKER = "kill-broker"
    KILL_BROKER_WITH_MESSAGES = "kill-broker-with-messages"
    BROKER_DOWN = "broker-down"
    PAUSE_BROKER = "pause-broker"
    RESTART_BROKER = "restart-broker"


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault; with a stage, it hits a process that is at work on that stage."""

    act: Act
    story: str
    stage: Stage | None = None

    @property
    def name(self) -> str:
        """The name in tables and in the list of kinds."""
        return f"{self.act}@{self.stage}" if self.stage else str(self.act)


_AT_A_STAGE = (
    (Act.KILL, "kill -9 of the process at work on this stage"),
    (Act.PAUSE, "SIGSTOP of that process for longer than its lease, then SIGCONT"),
    (Act.TERMINATE, "SIGTERM of that process, as in a deployment"),
)
_EVERYWHERE = (
    FaultKind(Act.KILL_TWICE, "kill -9, and again while the process that replaced it comes up"),
    FaultKind(Act.KILL_IN_RECOVERY, "kill -9, and again while its successor takes over what it held"),
    FaultKind(Act.KILL_BETWEEN_STAGES, "kill -9 after a stage is complete and before the next one is claimed"),
    FaultKind(Act.KILL_IN_RELAY, "kill -9 after a chain is sent and before that is noted"),
    FaultKind(Act.TERMINATE_THEN_KILL, "SIGTERM, and kill -9 before the process has given its stages back"),
    FaultKind(Act.PAUSE_BRIEFLY, "SIGSTOP for less than the lease, then SIGCONT"),
    FaultKind(Act.DUPLICATE_DELIVERY, "further copies of a live run's chain"),
)
_EMBEDDED_ONLY = (FaultKind(Act.HOLD_DATABASE, "the database's write lock held for longer than the lease"),)
_BROKERS_ONLY = (
    FaultKind(Act.KILL_ALL_WORKERS, "kill -9 of every worker at once"),
    FaultKind(Act.KILL_EVERYTHING, "kill -9 of every worker and of the API at once"),
    FaultKind(Act.KILL_API, "kill -9 of the API"),
    FaultKind(Act.PAUSE_API, "SIGSTOP of the API for longer than the lease, then SIGCONT"),
    FaultKind(Act.TERMINATE_API, "SIGTERM of the API"),
    FaultKind(Act.OLD_EPOCH_MESSAGE, "messages of an epoch that is over and of one that never was"),
    FaultKind(Act.RESTART_DATABASE, "immediate stop of the database, which then recovers from its log"),
    FaultKind(Act.KILL_DATABASE_SESSION, "kill -9 of one database session, which restarts all of them"),
    FaultKind(Act.PAUSE_DATABASE, "SIGSTOP of the whole database for longer than the lease"),
    FaultKind(Act.FLUSH, "every queued message dropped while ready stages wait for theirs"),
    FaultKind(Act.KILL_BROKER, "kill -9 of the broker, and a start"),
    FaultKind(Act.KILL_BROKER_WITH_MESSAGES, "kill -9 of the broker while ready stages wait for their messages"),
    FaultKind(Act.BROKER_DOWN, "the broker gone for longer than the lease"),
    FaultKind(Act.PAUSE_BROKER, "SIGSTOP of the broker for longer than the lease, then SIGCONT"),
    FaultKind(Act.RESTART_BROKER, "SIGTERM of the broker, and a start"),
)


def kinds_of(stack: StackName) -> Sequence[FaultKind]:
    """Return every kind of fault that a stack gets."""
    staged = [FaultKind(act, story, stage) for act, story in _AT_A_STAGE for stage in STAGES]
    only = _EMBEDDED_ONLY if stack is StackName.EMBEDDED else _BROKERS_ONLY
    return [*staged, *_EVERYWHERE, *only]


def draw_plan(stack: StackName, *, faults: int, seed: int) -> Sequence[FaultKind]:
    """
    Return as many faults as asked for: first one at each stage, then every kind before any comes again.

    The same seed gives the same plan. What it meets is up to the processes, and differs.
    """
    random = Random(seed)  # noqa: S311 - a seed that is printed, so that a plan can be had again
    kinds = list(kinds_of(stack))
    first = [random.choice([kind for kind in kinds if kind.stage is stage]) for stage in STAGES]
    rest = [kind for kind in kinds if kind not in first]
    for order in (first, rest, kinds):
        random.shuffle(order)
    return list(islice(chain(first, rest, cycle(kinds)), faults))


def least_at_each_stage(faults: int) -> int:
    """Return how many faults must have hit each stage for the proof to count."""
    return faults // 12
