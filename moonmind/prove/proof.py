"""Run one proof: start the stack and the remote, order runs, inject faults, wait for the end, and audit."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random

from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.prove import remote
from moonmind.prove.auditing import Audit
from moonmind.prove.breaking import Breaker
from moonmind.prove.faults import FaultKind, StackName, draw_plan
from moonmind.prove.folder import ProofFolder
from moonmind.prove.injecting import inject
from moonmind.prove.ledger import Ledger, Live
from moonmind.prove.ordering import Orders
from moonmind.prove.outcome import Fault, Outcome
from moonmind.prove.processes import Command, Supervised, Supervisor, wait_until
from moonmind.prove.stack import Stack
from moonmind.prove.stack_brokers import start_with_broker
from moonmind.prove.stack_embedded import start_embedded

_TRIES = 3
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_REMOTE_SECONDS = 15.0
# The longest that a run may take from its last fault: a few leases and graces, and its turn among the others.
_END_SECONDS = 150.0


@dataclass(frozen=True)
class ProofOrder:
    """What is to be proved; `surroundings` is the environment of whoever asks."""

    stack: StackName
    runs: int
    faults: int
    seed: int
    keep: bool
    surroundings: Mapping[str, str]


Say = Callable[[str], None]


def prove(order: ProofOrder, say: Say) -> Outcome:
    """
    Prove on a stack of its own; raises `proof_not_possible` when that cannot be started.

    Whatever happens, its processes end with this call, and its folder goes unless it is to be kept.
    """
    begun = time.monotonic()
    _require_means(order.surroundings)
    supervisor = Supervisor()
    with _proof_folder(order, say) as folder:
        try:
            _start_remote(order, folder, supervisor)
            stack = _start_stack(order, folder, supervisor)
            say(f"The stack answers at {stack.url}.")
            return _prove_on(order, stack, say, begun)
        finally:
            supervisor.end_all()


def _require_means(surroundings: Mapping[str, str]) -> None:
    if sys.platform != "linux":
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, "A proof binds processes to each other as only Linux can.")
    if shutil.which("git", path=surroundings.get("PATH")) is None:
        raise WorkflowError(FailureCode.PROOF_NOT_POSSIBLE, "git is needed, and there is none on PATH.")


def _prove_on(order: ProofOrder, stack: Stack, say: Say, begun: float) -> Outcome:
    database = Database(stack.database_url)
    ledger = Ledger(database)
    faults: list[Fault] = []
    missed: list[str] = []

    def allowed() -> int:
        return ceil(order.runs * (len(faults) + 1) / max(1, order.faults))

    orders = Orders(stack, ledger, runs=order.runs, allowed=allowed if order.faults else lambda: order.runs)
    orders.start()
    random = Random(order.seed)  # noqa: S311 - delays, the same for the same seed
    breaker = Breaker(stack, ledger, random, orders.press)
    for kind in draw_plan(order.stack, faults=order.faults, seed=order.seed):
        live = _inject(breaker, kind)
        if live is None:
            missed.append(kind.name)
            say(f"{kind.name}: no live run to hit")
            continue
        faults.append(Fault(kind, live))
        say(f"{len(faults)}/{order.faults} {kind.name} hit {live.stage} of run {live.run_id}")
        time.sleep(random.uniform(0.0, 1.0))
    orders.finish()
    _wait_for_the_end(ledger, orders, say)
    audit = Audit(stack.folder, database, orders.accepted)
    outcome = Outcome(
        stack=order.stack,
        seed=order.seed,
        asked_runs=order.runs,
        asked_faults=order.faults,
        faults=audit.with_recoveries(faults),
        findings=audit.findings(),
        seconds=time.monotonic() - begun,
        repeated_orders=orders.repeated,
        missed=missed + [f"order {number}: {words}" for number, words in orders.refused.items()],
        ended_by_themselves=stack.supervisor.ended_by_themselves(),
    )
    database.dispose()
    return outcome


def _inject(breaker: Breaker, kind: FaultKind) -> Live | None:
    for _ in range(_TRIES):
        wait_until(breaker.stack.is_ready, breaker.stack.api, seconds=_READY_SECONDS)
        try:
            live = inject(breaker, kind)
        except WorkflowError:
            # The database was still recovering from the last fault.
            live = None
        if live is not None:
            return live
    return None


def _wait_for_the_end(ledger: Ledger, orders: Orders, say: Say) -> None:
    """Wait until no run is under way; what is still moving after a long time counts as lost."""
    say(f"All {len(orders.accepted)} runs are ordered; waiting for the last of them.")
    deadline = time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline:
        try:
            if ledger.active() == 0:
                return
        except WorkflowError:
            pass
        time.sleep(_LOOK_SECONDS)


def _start_remote(order: ProofOrder, folder: ProofFolder, supervisor: Supervisor) -> None:
    argv = [sys.executable, "-I", "-S", remote.__file__, str(folder.path), "--seed", str(order.seed)]
    process = supervisor.watch(Supervised(Command("remote", argv, {}), folder))
    wait_until(folder.remote_socket.exists, process, seconds=_REMOTE_SECONDS)


def _start_stack(order: ProofOrder, folder: ProofFolder, supervisor: Supervisor) -> Stack:
    if order.stack is StackName.EMBEDDED:
        return start_embedded(folder, supervisor, order.surroundings)
    return start_with_broker(order.stack, folder, supervisor, order.surroundings)


@contextmanager
def _proof_folder(order: ProofOrder, say: Say) -> Iterator[ProofFolder]:
    # A socket's path may have no more than about a hundred characters, so the folder's name is short.
    path = Path(tempfile.mkdtemp(prefix="mm-prove-"))
    # The database may run as another user, who has to pass through.
    path.chmod(0o711)
    folder = ProofFolder(path)
    folder.forge_root.mkdir()
    try:
        yield folder
    finally:
        if order.keep:
            say(f"Everything is kept in {path}.")
        else:
            shutil.rmtree(path, ignore_errors=True)
