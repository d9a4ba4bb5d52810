"""Order the runs of a proof over HTTP, as many at once as the stack shall work on, until it is told to stop."""

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

import httpx

from moonmind.domain.errors import WorkflowError
from moonmind.prove.features import feature_of, make_repository
from moonmind.prove.ledger import Ledger
from moonmind.prove.stack import Stack

_RUNS = "/api/workflows/speckit/runs"
_AT_ONCE = 6
_LOOK_SECONDS = 0.05
_AGAIN_SECONDS = 0.2
# Where faults miss again and again, more runs are ordered than were asked for, but not without end.
_MOST_TIMES = 4


class Orders:
    """
    A client that orders run after run and repeats each order, under its key, until it is accepted.

    `allowed` says how many runs may have been ordered by now, so that there are live ones for every fault.
    """

    def __init__(self, stack: Stack, ledger: Ledger, *, runs: int, allowed: Callable[[], int]) -> None:
        self._stack = stack
        self._ledger = ledger
        self._runs = runs
        self._allowed = allowed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orders", daemon=True)
        self.accepted: dict[int, UUID] = {}
        self.refused: dict[int, str] = {}
        self.repeated = 0
        self._pressing = 0

    def start(self) -> None:
        """Begin to order."""
        self._thread.start()

    def press(self, runs: int) -> None:
        """Order some runs at once, whatever the pace."""
        self._pressing += runs

    def finish(self) -> None:
        """Order what is left of the runs that were asked for, then stop."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._is_over(number):
            if self._wants_more(number):
                self._order(number)
                self._pressing = max(0, self._pressing - 1)
                number += 1
            else:
                time.sleep(_LOOK_SECONDS)

    def _is_over(self, number: int) -> bool:
        return self._stop.is_set() if number >= self._runs else False

    def _wants_more(self, number: int) -> bool:
        if number >= self._runs * _MOST_TIMES:
            return False
        if self._pressing:
            return True
        try:
            active = self._ledger.active()
        except WorkflowError:
            return False
        # Without a live run nothing can be hit, so one more is ordered whatever the pace.
        return active < _AT_ONCE and (number < self._allowed() or active == 0)

    def _order(self, number: int) -> None:
        feature = feature_of(number)
        make_repository(self._stack.folder.forge_root, feature)
        body = {"repository": feature.repository, "featureKey": feature.key}
        while True:
            try:
                answer = self._post(body, key=f"proof-{number}")
            except httpx.HTTPError:
                # Nobody knows whether it arrived; the key makes the repetition the same order.
                answer = None
            if answer is not None and answer.status_code == HTTPStatus.ACCEPTED:
                self.accepted[number] = UUID(answer.json()["id"])
                return
            if answer is not None and answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                self.refused[number] = answer.text
                return
            self.repeated += 1
            time.sleep(_AGAIN_SECONDS)

    def _post(self, body: dict[str, str], *, key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._stack.token()}", "Idempotency-Key": key}
        return httpx.post(f"{self._stack.url}{_RUNS}", json=body, headers=headers, timeout=15, trust_env=False)
