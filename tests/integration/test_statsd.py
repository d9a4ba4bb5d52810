"""Metrics over real sockets on loopback, and with a server that does not exist."""

import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from moonmind.domain.states import Stage
from moonmind.telemetry.metrics import NoMetrics, StatsdMetrics


@pytest.fixture(params=["127.0.0.1", "::1", "localhost"])
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def listener(host: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind(("::1" if host == "::1" else "127.0.0.1", 0))
        server.settimeout(5)
        yield server


def received(listener: socket.socket, count: int) -> list[str]:
    return [listener.recv(2048).decode() for _ in range(count)]


class TestStatsdMetrics:
    @pytest.fixture
    def metrics(self, host: str, listener: socket.socket) -> StatsdMetrics:
        return StatsdMetrics(host, listener.getsockname()[1], "moonmind.spec_workflow")

    def test_counts_starts_ends_and_retries_with_tags(self, metrics: StatsdMetrics, listener: socket.socket) -> None:
        metrics.stage_started(Stage.SUBMIT, 2)
        metrics.stage_ended(Stage.SUBMIT, 2, status="success", seconds=1.5)
        metrics.stage_ended(Stage.APPLY, 1, status="failure", seconds=0.25)
        metrics.stage_retried(Stage.APPLY, 2)
        assert received(listener, 6) == [
            "moonmind.spec_workflow.task_start:1|c|#task:submit,attempt:2,status:running",
            "moonmind.spec_workflow.task_success:1|c|#task:submit,attempt:2,status:success",
            "moonmind.spec_workflow.task_duration:1500.000|ms|#task:submit,attempt:2,status:success",
            "moonmind.spec_workflow.task_failure:1|c|#task:apply,attempt:1,status:failure",
            "moonmind.spec_workflow.task_duration:250.000|ms|#task:apply,attempt:1,status:failure",
            "moonmind.spec_workflow.task_retry:1|c|#task:apply,attempt:2,status:retry",
        ]

    def test_a_parked_stage_is_neither_success_nor_failure(
        self, metrics: StatsdMetrics, listener: socket.socket
    ) -> None:
        metrics.stage_ended(Stage.APPLY, 1, status="waiting", seconds=0)
        metrics.stage_started(Stage.APPLY, 1)
        names = [re.split("[.:]", line)[2] for line in received(listener, 2)]
        assert names == ["task_duration", "task_start"]

    def test_nothing_in_a_status_can_forge_another_metric(
        self, metrics: StatsdMetrics, listener: socket.socket
    ) -> None:
        metrics.stage_ended(Stage.APPLY, 1, status="ä|c\nforged:1|c,x:y", seconds=0)
        (line,) = received(listener, 1)
        assert line.endswith("status:__c_forged_1_c_x_y")


class TestWithoutAServer:
    def slow_look_up(self, calls: list[float]) -> Callable[..., object]:
        def look_up(*_: object, **__: object) -> object:
            calls.append(time.monotonic())
            time.sleep(0.6)
            raise socket.gaierror(socket.EAI_AGAIN, "the name server does not answer")

        return look_up

    def test_a_name_that_cannot_be_resolved_slows_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[float] = []
        monkeypatch.setattr(socket, "getaddrinfo", self.slow_look_up(calls))
        started = time.monotonic()
        metrics = StatsdMetrics("statsd.invalid", 8125, "moonmind")
        for _ in range(2_000):
            metrics.stage_started(Stage.DISCOVER, 1)
            metrics.stage_ended(Stage.DISCOVER, 1, status="success", seconds=1)
        assert time.monotonic() - started < 0.5
        assert len(calls) == 1

    def test_the_pause_between_look_ups_grows_to_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        metrics = StatsdMetrics("statsd.invalid", 8125, "moonmind")
        pauses = []
        for _ in range(6):
            before = time.monotonic()
            metrics._resolve()
            pauses.append(round(metrics._resolve_at - before))
        assert pauses == [5, 10, 20, 40, 60, 60]

    def test_a_server_that_comes_back_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)
            metrics = StatsdMetrics("localhost", server.getsockname()[1], "moonmind")
            with monkeypatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", self.slow_look_up([]))
                metrics._resolve()
            metrics._resolve_at = time.monotonic()
            metrics.stage_started(Stage.FINALIZE, 3)
            assert received(server, 1) == ["moonmind.task_start:1|c|#task:finalize,attempt:3,status:running"]

    def test_nobody_listening_is_no_reason_to_fail(self) -> None:
        metrics = StatsdMetrics("127.0.0.1", 9, "moonmind")
        metrics._resolve()
        for _ in range(100):
            metrics.stage_started(Stage.DISCOVER, 1)

    @pytest.mark.parametrize("host", ["", "a" * 300, "ä.invalid", "\0", "1.2.3.4.5"])
    def test_a_host_that_is_none_never_raises(self, host: str) -> None:
        metrics = StatsdMetrics(host, 8125, "moonmind")
        metrics._resolve()
        metrics.stage_started(Stage.DISCOVER, 1)


def test_no_metrics_do_nothing() -> None:
    metrics = NoMetrics()
    metrics.stage_started(Stage.DISCOVER, 1)
    metrics.stage_ended(Stage.DISCOVER, 1, status="success", seconds=1)
    metrics.stage_retried(Stage.DISCOVER, 1)
