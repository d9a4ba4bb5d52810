"""Block, crash and pause the database, the one part of the service that remembers."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from moonmind.prove.breaking import Breaker
from moonmind.prove.faults import FaultKind
from moonmind.prove.ledger import Live
from moonmind.prove.message_faults import MissingServerError
from moonmind.prove.stack import DatabaseServer


def hold_database(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Keep everybody else from writing for longer than a lease lasts."""
    live = breaker.somewhere()
    if live is not None:
        breaker.ledger.hold(breaker.beyond_lease())
    return live


def restart_database(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Stop the server without a checkpoint; at its start it recovers from its log."""
    live = breaker.somewhere()
    if live is not None:
        with _server(breaker).process.held_down(signal.SIGQUIT):
            time.sleep(breaker.random.uniform(0.0, 1.0))
    return live


def kill_database_session(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Kill one process of the server; it then drops all sessions and recovers."""
    live = breaker.somewhere()
    if live is not None:
        with suppress(ProcessLookupError):
            os.kill(breaker.random.choice(_server(breaker).sessions()), signal.SIGKILL)
    return live


def pause_database(breaker: Breaker, _kind: FaultKind) -> Live | None:
    """Let all sessions of the database stand still for longer than a lease lasts."""
    live = breaker.somewhere()
    if live is not None:
        server = _server(breaker)
        with server.process.paused():
            standing = server.sessions()
            _send_all(standing, signal.SIGSTOP)
            time.sleep(breaker.beyond_lease())
            _send_all(standing, signal.SIGCONT)
    return live


def _send_all(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _server(breaker: Breaker) -> DatabaseServer:
    if breaker.stack.database is None:
        raise MissingServerError
    return breaker.stack.database
