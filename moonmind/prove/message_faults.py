"""Lose messages, send them twice, and break the broker that carries them."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from uuid import uuid4

from kombu.exceptions import OperationalError

from moonmind.prove.breaking import Breaker
from moonmind.prove.faults import FaultKind
from moonmind.prove.ledger import Live
from moonmind.prove.stack import BrokerServer
from moonmind.workflows.speckit_celery import create_celery_app, run_chain

_COPIES = 20
_QUEUE = "codex"
_QUEUED_RUNS = 3
_ORDERING_SECONDS = 2.0


class MissingServerError(Exception):
    """A fault was planned for a stack without the server that it breaks; a bug in the list of kinds."""


def deliver_again(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Send further copies of a live run's chain: through the outbox, and where there is a broker straight to it."""
    live = breaker.somewhere()
    if live is not None:
        breaker.ledger.ask_again(live, copies=3)
    if live is not None and breaker.stack.broker is not None:
        epoch = breaker.ledger.epoch(live)
        _send(breaker.stack.broker, live, epochs=[epoch] * _COPIES)
    return live


def deliver_other_epochs(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Send chains of a live run with epochs that are not its own."""
    live = breaker.somewhere()
    if live is not None:
        epoch = breaker.ledger.epoch(live)
        _send(_broker(breaker), live, epochs=[epoch - 1, epoch + 1] * (_COPIES // 2))
    return live


def flush(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Drop the messages that ready stages wait for."""
    return _with_queued_messages(breaker, lambda broker: broker.flush())


def kill_broker_with_messages(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill the broker while ready stages wait for their messages."""
    return _with_queued_messages(breaker, lambda broker: broker.process.kill())


def kill_broker(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill the broker while a stage is at work; its next message has nowhere to go."""
    return breaker.kill_together([_broker(breaker).process])


def broker_down(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Take the broker away for longer than a lease lasts."""
    live = breaker.somewhere()
    if live is not None:
        with _broker(breaker).process.held_down():
            time.sleep(breaker.beyond_lease())
    return live


def pause_broker(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Let the broker's connections stay open and answer nothing."""
    return breaker.pause(_broker(breaker).process, breaker.beyond_lease())


def restart_broker(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """End the broker in order and start it again."""
    live = breaker.somewhere()
    if live is not None:
        with _broker(breaker).process.held_down(signal.SIGTERM):
            pass
    return live


def _with_queued_messages(breaker: Breaker, act: Callable[[BrokerServer], None]) -> Live | None:
    """Act while the workers stand still, so that messages that were sent stay in the broker until then."""
    broker = _broker(breaker)

    def act_on_broker(_live: Live) -> bool:
        # The service may be without its broker for a moment after the last fault.
        with suppress(OperationalError, OSError):
            act(broker)
            return True
        return False

    with ExitStack() as standing:
        for worker in breaker.stack.workers:
            standing.enter_context(worker.paused())
        breaker.order_at_once(_QUEUED_RUNS)
        return breaker.ledger.hit_ready(act_on_broker, seconds=_ORDERING_SECONDS)


def _send(broker: BrokerServer, live: Live, *, epochs: Sequence[int]) -> None:
    app = create_celery_app(broker_url=broker.url, queues=(_QUEUE,))
    stages = live.stage.onward
    for epoch in epochs:
        task_ids = {stage: str(uuid4()) for stage in stages}
        queues = dict.fromkeys(stages, _QUEUE)
        chain = run_chain(app, run_id=live.run_id, epoch=epoch, stages=stages, queues=queues, task_ids=task_ids)
        with suppress(OperationalError, OSError):
            chain.apply_async(retry=False)
    app.close()


def _broker(breaker: Breaker) -> BrokerServer:
    if breaker.stack.broker is None:
        raise MissingServerError
    return breaker.stack.broker
