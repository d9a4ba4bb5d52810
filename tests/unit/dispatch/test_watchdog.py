"""The watchdog ends a process that can do its work no more, and leaves every other alone."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest

from moonmind.dispatch.watchdog import EXIT_STUCK, Patience, Signs, Watchdog
from moonmind.domain.claims import ClaimedStage
from moonmind.domain.states import Stage
from moonmind.workflows.speckit_celery.heartbeat import HeldStage, LeaseBook

LIMIT = timedelta(seconds=100)
PATIENCE = Patience(idle=timedelta(seconds=60), overdue=timedelta(seconds=20))


class Ended(Exception):  # noqa: N818 - what happened to the process is no error of the test
    """Stands for the end of the process."""


class Book(LeaseBook):
    """A book whose stages a test writes itself."""

    stages: tuple[HeldStage, ...] = ()

    def held(self) -> tuple[HeldStage, ...]:
        return self.stages


@dataclass
class Worker:
    """What the watchdog sees of its process."""

    book: Book = field(default_factory=Book)
    taken: int = 0
    untaken: int = 0
    crashed: list[HeldStage] = field(default_factory=list)

    def hold(self, seconds: float, stage: Stage = Stage.PUBLISH) -> HeldStage:
        held = HeldStage(ClaimedStage(uuid4(), uuid4(), stage, 1, 1, 1), seconds)
        self.book.stages = (*self.book.stages, held)
        return held

    def give_back(self, crashed: Collection[HeldStage]) -> None:
        self.crashed.extend(crashed)


def exit_process(code: int) -> None:
    assert code == EXIT_STUCK
    raise Ended


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def look(worker: Worker) -> Callable[[float], None]:
    signs = Signs(lambda: worker.taken, lambda: worker.untaken, lambda _stage: LIMIT, worker.give_back)
    return Watchdog(worker.book, signs, PATIENCE, exit_process=exit_process).look


class TestIdleWorker:
    def test_that_takes_no_message_for_long_is_ended(self, worker: Worker, look: Callable[[float], None]) -> None:
        worker.untaken = 3
        for now in (0, 1, 60):
            look(now)
        with pytest.raises(Ended):
            look(61)

    def test_without_messages_to_take_may_idle_for_ever(self, worker: Worker, look: Callable[[float], None]) -> None:
        for now in range(0, 10_000, 50):
            look(now)

    def test_that_takes_messages_now_and_then_is_sound(self, worker: Worker, look: Callable[[float], None]) -> None:
        worker.untaken = 3
        for now in range(0, 10_000, 50):
            worker.taken += 1
            look(now)

    def test_gets_its_patience_back_when_its_queues_were_empty_once(
        self, worker: Worker, look: Callable[[float], None]
    ) -> None:
        for now in range(0, 10_000, 20):
            worker.untaken = now % 60
            look(now)

    def test_is_not_idle_while_an_agent_works(self, worker: Worker, look: Callable[[float], None]) -> None:
        worker.untaken = 3
        worker.hold(10)
        for now in range(0, 10_000, 50):
            look(now)


class TestThread:
    def test_within_its_stages_time_and_some_more_is_left_alone(
        self, worker: Worker, look: Callable[[float], None]
    ) -> None:
        worker.hold(120)
        look(0)

    def test_that_outlives_its_stage_ends_the_process_and_only_its_stage_crashed(
        self, worker: Worker, look: Callable[[float], None]
    ) -> None:
        worker.hold(5)
        stuck = worker.hold(121)
        with pytest.raises(Ended):
            look(0)
        assert worker.crashed == [stuck]
