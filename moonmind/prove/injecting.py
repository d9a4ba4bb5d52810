"""Tie each kind of fault to the function that injects it."""

from collections.abc import Callable, Mapping

from moonmind.prove import database_faults, message_faults, process_faults
from moonmind.prove.breaking import Breaker
from moonmind.prove.faults import Act, FaultKind
from moonmind.prove.ledger import Live

Inject = Callable[[Breaker, FaultKind], Live | None]

INJECTIONS: Mapping[Act, Inject] = {
    Act.KILL: process_faults.kill,
    Act.PAUSE: process_faults.pause,
    Act.TERMINATE: process_faults.terminate,
    Act.KILL_TWICE: process_faults.kill_twice,
    Act.KILL_IN_RECOVERY: process_faults.kill_in_recovery,
    Act.KILL_BETWEEN_STAGES: process_faults.kill_between_stages,
    Act.KILL_IN_RELAY: process_faults.kill_in_relay,
    Act.TERMINATE_THEN_KILL: process_faults.terminate_then_kill,
    Act.PAUSE_BRIEFLY: process_faults.pause_briefly,
    Act.KILL_ALL_WORKERS: process_faults.kill_all_workers,
    Act.KILL_EVERYTHING: process_faults.kill_everything,
    Act.KILL_API: process_faults.kill_api,
    Act.PAUSE_API: process_faults.pause_api,
    Act.TERMINATE_API: process_faults.terminate_api,
    Act.DUPLICATE_DELIVERY: message_faults.deliver_again,
    Act.OLD_EPOCH_MESSAGE: message_faults.deliver_other_epochs,
    Act.HOLD_DATABASE: database_faults.hold_database,
    Act.RESTART_DATABASE: database_faults.restart_database,
    Act.KILL_DATABASE_SESSION: database_faults.kill_database_session,
    Act.PAUSE_DATABASE: database_faults.pause_database,
    Act.FLUSH: message_faults.flush,
    Act.KILL_BROKER: message_faults.kill_broker,
    Act.KILL_BROKER_WITH_MESSAGES: message_faults.kill_broker_with_messages,
    Act.BROKER_DOWN: message_faults.broker_down,
    Act.PAUSE_BROKER: message_faults.pause_broker,
    Act.RESTART_BROKER: message_faults.restart_broker,
}


def inject(breaker: Breaker, kind: FaultKind) -> Live | None:
    """Wait for a live run to hit, inject, and return what was hit; None when there was no chance."""
    return INJECTIONS[kind.act](breaker, kind)
