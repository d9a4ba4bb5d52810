"""The client against services that answer well, badly, late or not at all."""

import json

import httpx
import pytest

from moonmind.cli.client import ServiceClient
from moonmind.cli.refusals import ServerRefusedError
from moonmind.config.client import Server
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.testing.api import InMemoryApi
from tests.unit.cli.conftest import Clock

_ORDER = {"repository": "acme/site"}


def _let_pauses_pass(clock: Clock, number: int = 5) -> None:
    clock.happenings += [lambda: None] * number


class TestLostAnswers:
    def test_a_start_is_sent_again_and_makes_one_run(
        self, client: ServiceClient, api: InMemoryApi, clock: Clock
    ) -> None:
        _let_pauses_pass(clock)
        api.lost_answers = 2
        run = client.start_run(_ORDER, key="k1")
        assert list(api.runs) == [run["id"]]

    def test_a_start_that_is_never_answered_gives_up(
        self, client: ServiceClient, api: InMemoryApi, clock: Clock
    ) -> None:
        _let_pauses_pass(clock)
        api.lost_answers = 99
        with pytest.raises(WorkflowError, match="dropped the connection") as caught:
            client.start_run(_ORDER, key="k1")
        assert caught.value.code is FailureCode.SERVER_UNREACHABLE
        assert len(api.requests) == 3

    def test_a_retry_is_sent_once_since_a_second_one_would_be_refused(
        self, client: ServiceClient, api: InMemoryApi
    ) -> None:
        run = api.add_run(status="failed")
        api.lost_answers = 1
        with pytest.raises(WorkflowError, match="not known whether it took the request"):
            client.retry(str(run["id"]), {})
        assert len(api.requests) == 1

    def test_a_slow_service_is_told_apart(self, client: ServiceClient, api: InMemoryApi, clock: Clock) -> None:
        _let_pauses_pass(clock)
        api.before = [httpx.ReadTimeout("slow")] * 3
        with pytest.raises(WorkflowError, match="did not answer in time"):
            client.list_runs([])


class TestNoService:
    def test_a_refused_connection_fails_at_once(self, client: ServiceClient, api: InMemoryApi) -> None:
        api.before = [httpx.ConnectError("[Errno 111] Connection refused")]
        with pytest.raises(WorkflowError, match=r"http://service\.test cannot be reached.*refused") as caught:
            client.list_runs([])
        assert caught.value.code is FailureCode.SERVER_UNREACHABLE
        assert "moonmind up" in caught.value.remedy

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(200, text="<html>hello</html>"),
            httpx.Response(200, json=["a", "list"]),
            httpx.Response(200, content=b"[" * 100_000),
            httpx.Response(200, content=b'{"a": "' + b"x" * 17 * 1024 * 1024 + b'"}'),
            httpx.Response(302, headers={"Location": "https://login.example.org"}),
            httpx.Response(502, text="Bad Gateway"),
            httpx.Response(404, json={"detail": "Not Found"}),
        ],
        ids=["html", "no object", "too deep", "too large", "redirect", "gateway", "another service"],
    )
    def test_something_else_at_the_address_is_no_service(
        self, client: ServiceClient, api: InMemoryApi, answer: httpx.Response
    ) -> None:
        api.before = [answer]
        with pytest.raises(WorkflowError) as caught:
            client.list_runs([])
        assert caught.value.code is FailureCode.SERVER_UNREACHABLE

    def test_a_run_without_an_id_is_no_run(self, client: ServiceClient, api: InMemoryApi) -> None:
        api.before = [httpx.Response(202, json={"status": "pending"})]
        with pytest.raises(WorkflowError, match="not as this service does"):
            client.start_run(_ORDER, key="k")


class TestRefusals:
    def test_the_service_keeps_its_own_words(self, client: ServiceClient, api: InMemoryApi) -> None:
        problem = {"code": "workflow_conflict", "detail": "Busy.", "remedy": "Come back at noon.", "runId": "r1"}
        api.before = [httpx.Response(409, json=problem)]
        with pytest.raises(ServerRefusedError) as caught:
            client.start_run(_ORDER, key="k")
        error = caught.value
        assert (error.code, error.detail, error.remedy) == (
            FailureCode.WORKFLOW_CONFLICT,
            "Busy.",
            "Come back at noon.",
        )
        assert error.facts == {"runId": "r1"}

    def test_a_code_of_a_newer_service_keeps_code_words_and_remedy(
        self, client: ServiceClient, api: InMemoryApi
    ) -> None:
        problem = {"code": "quota_spent", "detail": "The month's budget is spent.", "remedy": "Wait until May."}
        api.before = [httpx.Response(409, json=problem)]
        with pytest.raises(ServerRefusedError) as caught:
            client.start_run(_ORDER, key="k")
        assert (caught.value.code_text, caught.value.remedy) == ("quota_spent", "Wait until May.")
        assert "budget" in caught.value.detail

    def test_a_known_code_without_a_remedy_gets_the_catalogues(self, client: ServiceClient, api: InMemoryApi) -> None:
        api.before = [httpx.Response(404, json={"code": "workflow_not_found", "detail": "No."})]
        with pytest.raises(ServerRefusedError) as caught:
            client.run("r1")
        assert caught.value.remedy == "List the runs with `moonmind list`."


class TestLog:
    def test_it_is_read_on_from_an_offset(self, client: ServiceClient, api: InMemoryApi) -> None:
        run_id = str(api.add_run()["id"])
        api.logs[run_id] = b"one\ntwo\n"
        part = client.log(run_id, offset=4)
        assert (part.content, part.next_offset, part.is_complete) == (b"two\n", 8, False)

    @pytest.mark.parametrize("header", ["", "-5", "0", "soon", "１２"])
    def test_a_useless_next_offset_cannot_stop_or_repeat_the_reading(
        self, client: ServiceClient, api: InMemoryApi, header: str
    ) -> None:
        headers = [(b"X-Next-Offset", header.encode())] if header else []
        api.before = [httpx.Response(200, content=b"abc", headers=headers)]
        assert client.log("r1", offset=7).next_offset == 10

    def test_a_huge_part_is_cut_and_read_on(self, client: ServiceClient, api: InMemoryApi) -> None:
        run_id = str(api.add_run()["id"])
        api.logs[run_id] = b"x" * (1024 * 1024 + 10)
        api.sealed_logs.add(run_id)
        first = client.log(run_id, offset=0)
        second = client.log(run_id, offset=first.next_offset)
        assert (len(first.content), first.is_complete) == (1024 * 1024, False)
        assert (len(second.content), second.is_complete) == (10, True)

    def test_a_log_that_breaks_off_is_an_error(self, client: ServiceClient, api: InMemoryApi) -> None:
        class Broken(httpx.SyncByteStream):
            def __iter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204
                yield b"abc"
                message = "peer closed connection"
                raise httpx.RemoteProtocolError(message)

        api.before = [httpx.Response(200, stream=Broken())]
        with pytest.raises(WorkflowError, match="broke off its answer"):
            client.log("r1", offset=0)


def test_ids_cannot_leave_their_place_in_the_address(client: ServiceClient, api: InMemoryApi) -> None:
    with pytest.raises(WorkflowError):
        client.run("../../health/live?x=1")
    assert api.requests[0].url.raw_path.startswith(b"/api/workflows/speckit/runs/..%2F..%2Fhealth%2Flive%3Fx%3D1")


def test_the_path_of_the_address_is_kept(api: InMemoryApi) -> None:
    server = Server("https://example.org/moonmind", "t")
    client = ServiceClient(server, transport=httpx.MockTransport(api.answer))
    with pytest.raises(WorkflowError):
        client.list_runs([])
    assert api.requests[0].url.path == "/moonmind/api/workflows/speckit/runs"


def test_the_token_is_sent_and_never_shown(client: ServiceClient, api: InMemoryApi) -> None:
    client.list_runs([])
    assert api.requests[0].headers["Authorization"] == "Bearer mm_test_secret"
    assert "mm_test_secret" not in repr(Server("http://service.test", "mm_test_secret"))


def test_an_order_is_sent_as_json_with_its_key(client: ServiceClient, api: InMemoryApi) -> None:
    client.start_run(_ORDER, key="k1")
    assert json.loads(api.requests[0].content) == _ORDER
    assert api.requests[0].headers["Idempotency-Key"] == "k1"


class TestProxies:
    """httpx would hand the token to HTTP_PROXY even for 127.0.0.1, where no proxy can reach."""

    @pytest.mark.parametrize(("is_this_machine", "expected"), [(True, False), (False, True)])
    def test_one_for_the_outside_is_not_asked_for_this_machine(
        self, monkeypatch: pytest.MonkeyPatch, is_this_machine: bool, expected: bool
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
        client = ServiceClient(Server("http://127.0.0.1:5000", "t", is_this_machine=is_this_machine))
        assert bool(client._http._mounts) is expected
