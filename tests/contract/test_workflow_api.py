"""What scripts hold on to: routes, fields, codes and status numbers of the API."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api_service.api.dependencies import PUBLIC_PATHS
from api_service.auth.tokens import Role
from moonmind.domain.failures import FailureCode
from tests.contract.conftest import Served

RUNS = "/api/workflows/speckit/runs"
ORDER = {"repository": "Octo/Habits", "featureKey": "001-habits"}
RUN_FIELDS = {
    "agent",
    "artifacts",
    "artifactsPath",
    "attempt",
    "baseBranch",
    "baseSha",
    "branchName",
    "cancelRequestedAt",
    "celeryChainId",
    "codexLogsPath",
    "codexPatchPath",
    "codexQueue",
    "codexTaskId",
    "codexTaskUrl",
    "commitSha",
    "createdAt",
    "credentialAudit",
    "currentTaskName",
    "epoch",
    "failure",
    "featureDir",
    "featureKey",
    "finishedAt",
    "id",
    "notes",
    "outcome",
    "phase",
    "prNumber",
    "prUrl",
    "repository",
    "requestedBy",
    "selectedPhase",
    "startedAt",
    "status",
    "taskSummary",
    "tasks",
    "updatedAt",
    "usage",
}
TASK_FIELDS = {
    "artifactPaths",
    "attempt",
    "createdAt",
    "finishedAt",
    "id",
    "message",
    "nextPollAt",
    "payload",
    "retryCount",
    "startedAt",
    "status",
    "taskName",
    "updatedAt",
}


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert {"type", "title", "status", "detail", "remedy"} <= body.keys()
    assert body["status"] == status
    return body


class TestCreateRun:
    def test_an_order_is_accepted_with_its_five_stages_queued(self, operator: httpx.Client, served: Served) -> None:
        response = operator.post(RUNS, json=ORDER)

        assert response.status_code == 202
        run = response.json()
        assert run.keys() == RUN_FIELDS
        assert response.headers["location"] == f"{RUNS}/{run['id']}"
        assert (run["status"], run["phase"], run["repository"]) == ("pending", "discover", "octo/habits")
        assert [task["taskName"] for task in run["tasks"]] == ["discover", "submit", "apply", "publish", "finalize"]
        assert all(task.keys() == TASK_FIELDS and task["status"] == "queued" for task in run["tasks"])
        assert run["requestedBy"] == "test operator"
        assert served.sent == [UUID(run["id"])]

    def test_a_second_order_for_the_feature_names_the_active_run(self, operator: httpx.Client) -> None:
        run = operator.post(RUNS, json=ORDER).json()
        again = operator.post(RUNS, json={"repository": "octo/HABITS", "featureKey": "specs/001-habits"})
        body = assert_problem(again, 409, "workflow_conflict")
        assert body["runId"] == run["id"]
        assert run["id"] in body["remedy"]

    def test_two_orders_at_once_give_one_run(self, operator: httpx.Client) -> None:
        orders = [ORDER, {"repository": "OCTO/habits", "featureKey": "specs/001-habits"}] * 3
        with ThreadPoolExecutor(6) as pool:
            replies = list(pool.map(lambda order: operator.post(RUNS, json=order), orders))
        assert sorted(reply.status_code for reply in replies) == [202, 409, 409, 409, 409, 409]
        assert len(operator.get(RUNS).json()["items"]) == 1

    def test_the_same_idempotency_key_gives_the_same_run(self, operator: httpx.Client) -> None:
        first, second = (operator.post(RUNS, json=ORDER, headers={"Idempotency-Key": "k1"}) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["id"] == second.json()["id"]

    def test_the_same_key_with_another_body_is_refused(self, operator: httpx.Client) -> None:
        operator.post(RUNS, json=ORDER, headers={"Idempotency-Key": "k1"})
        other = operator.post(RUNS, json={**ORDER, "notes": "else"}, headers={"Idempotency-Key": "k1"})
        assert_problem(other, 409, "idempotency_key_reused")

    @pytest.mark.parametrize(
        "order",
        [
            {},
            {"repository": "habits"},
            {"repository": "octo/../habits"},
            {"repository": "--upload-pack=x/y"},
            {"repository": "octo/habits.git"},
            {"repository": "octo/habits", "featureKey": "../../etc"},
            {"repository": "octo/habits", "featureKey": "a\nb"},
            {"repository": "octo/habits", "notes": "n" * 1025},
            {"repository": "octo/habits", "agent": "unknown"},
            {"repository": "octo/habits", "status": "succeeded"},
            {"repository": "octo/habits", "baseBranch": "--force"},
            [],
        ],
    )
    def test_a_bad_order_is_refused_and_nothing_is_kept(self, operator: httpx.Client, order: object) -> None:
        assert_problem(operator.post(RUNS, json=order), 422, "request_invalid")
        assert operator.get(RUNS).json()["items"] == []

    def test_a_body_that_is_not_json_or_too_large_is_refused(self, operator: httpx.Client) -> None:
        headers = {"Content-Type": "application/json"}
        assert_problem(operator.post(RUNS, content=b"{", headers=headers), 422, "request_invalid")
        large = operator.post(RUNS, content=b'"' + b"x" * (1024 * 1024 + 1) + b'"', headers=headers)
        assert_problem(large, 413, "payload_too_large")


class TestReadRuns:
    def test_pages_show_each_run_once_while_others_arrive(self, operator: httpx.Client) -> None:
        wanted = [operator.post(RUNS, json={**ORDER, "featureKey": f"{n:03}-x"}).json()["id"] for n in range(5)]
        seen: list[str] = []
        cursor: str | None = None
        for number in range(10):
            page = operator.get(RUNS, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            seen += [item["id"] for item in page["items"]]
            operator.post(RUNS, json={**ORDER, "featureKey": f"new-{number}"})
            cursor = page["nextCursor"]
            if cursor is None:
                break
        assert seen == wanted[::-1]

    def test_filters_narrow_the_list(self, operator: httpx.Client) -> None:
        operator.post(RUNS, json=ORDER)
        operator.post(RUNS, json={**ORDER, "repository": "octo/other"})

        def count(**params: str | list[str]) -> int:
            return len(operator.get(RUNS, params=params).json()["items"])

        assert count(repository="OCTO/habits") == 1
        assert count(status=["pending", "running"]) == 2
        assert count(status="failed") == 0
        assert count(featureKey="001-habits") == 2
        assert count(requestedBy="nobody") == 0
        assert count(createdAfter="2999-01-01T00:00:00Z") == 0

    def test_lists_leave_out_tasks_unless_asked_for(self, operator: httpx.Client) -> None:
        operator.post(RUNS, json=ORDER)
        plain = operator.get(RUNS).json()["items"][0]
        full = operator.get(RUNS, params={"includeTasks": "true"}).json()["items"][0]
        assert (plain["tasks"], len(plain["taskSummary"]), len(full["tasks"])) == ([], 5, 5)

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "status=odd", "unknown=1", "createdAfter=2026-01-01"])
    def test_a_bad_query_is_refused(self, operator: httpx.Client, query: str) -> None:
        assert_problem(operator.get(f"{RUNS}?{query}"), 422, "request_invalid")

    @pytest.mark.parametrize("cursor", ["x", "é", "A" * 5000, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
    def test_a_cursor_of_another_hand_is_refused(self, operator: httpx.Client, cursor: str) -> None:
        assert_problem(operator.get(RUNS, params={"cursor": cursor}), 422, "cursor_invalid")

    def test_one_run_with_and_without_its_parts(self, operator: httpx.Client) -> None:
        run_id = operator.post(RUNS, json=ORDER).json()["id"]
        assert len(operator.get(f"{RUNS}/{run_id}").json()["tasks"]) == 5
        assert operator.get(f"{RUNS}/{run_id}", params={"includeTasks": "false"}).json()["tasks"] == []
        assert operator.get(f"{RUNS}/{run_id}/tasks").json().keys() == {"runId", "tasks"}
        assert operator.get(f"{RUNS}/{run_id}/artifacts").json() == {"runId": run_id, "artifacts": []}

    @pytest.mark.parametrize("suffix", ["", "/tasks", "/artifacts", f"/artifacts/{uuid4()}/content", "/logs"])
    def test_an_unknown_run_is_not_found_everywhere(self, operator: httpx.Client, suffix: str) -> None:
        assert_problem(operator.get(f"{RUNS}/{uuid4()}{suffix}"), 404, "workflow_not_found")


class TestAccess:
    def test_every_documented_route_refuses_a_request_without_a_valid_token(
        self, served: Served, operator: httpx.Client
    ) -> None:
        document = operator.get("/openapi.json").json()
        tokens = [None, "mm_unknown", f"mm_{'a' * 12}_{'b' * 43}", served.token(life=timedelta(seconds=-1))]
        for path, methods in document["paths"].items():
            if path in PUBLIC_PATHS:
                continue
            concrete = path.replace("{run_id}", str(uuid4())).replace("{artifact_id}", str(uuid4()))
            for method in methods:
                for token in tokens:
                    with served.client(token) as client:
                        assert_problem(client.request(method, concrete), 401, "authentication_required")

    @pytest.mark.parametrize(
        "path", ["/docs", "/openapi.json", "/health/live/", "/x/health/live", "/forge/o/n/pulls/1"]
    )
    def test_paths_that_look_public_are_not(self, served: Served, path: str) -> None:
        with served.client() as client:
            assert client.get(path).status_code in {401, 404, 303}
            assert client.get(path).status_code != 200

    def test_a_viewer_reads_and_may_not_order(self, served: Served) -> None:
        with served.client(served.token(Role.VIEWER)) as viewer:
            assert viewer.get(RUNS).status_code == 200
            assert_problem(viewer.post(RUNS, json=ORDER), 403, "role_not_allowed")

    def test_a_browser_signs_in_and_reads_but_changes_nothing_by_its_cookie(self, served: Served) -> None:
        token = served.token()
        with served.client() as browser:
            assert browser.post("/sign-in", data={"token": "mm_wrong", "then": "/"}).status_code == 401
            reply = browser.post("/sign-in", data={"token": token, "then": "//evil.example/"})
            assert (reply.status_code, reply.headers["location"]) == (303, "/")
            cookie = reply.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert browser.get(RUNS).status_code == 200
            assert_problem(browser.post(RUNS, json=ORDER), 401, "authentication_required")

    def test_a_sign_in_from_another_origin_is_refused(self, served: Served) -> None:
        with served.client() as browser:
            data = {"token": served.token(), "then": "/"}
            reply = browser.post("/sign-in", data=data, headers={"Origin": "http://evil.example"})
            assert reply.status_code == 401
            assert "set-cookie" not in reply.headers


class TestHealth:
    def test_ready_says_what_is_missing(self, served: Served) -> None:
        with served.client() as client:
            assert client.get("/health/live").json() == {"status": "live"}
            assert client.get("/health/ready").status_code == 200
            served.missing["worker"] = "The worker thread ended."
            reply = client.get("/health/ready")
            assert (reply.status_code, reply.json()["missing"]) == (503, {"worker": "The worker thread ended."})
            assert "retry-after" in reply.headers


class TestPages:
    def test_a_person_without_a_session_is_led_to_the_form_and_back(self, served: Served) -> None:
        with served.client() as browser:
            browser.headers["Accept"] = "text/html"
            reply = browser.get("/docs/runbook")
            assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in?then=/docs/runbook")
            assert 'value="/docs/runbook"' in browser.get(reply.headers["location"]).text

    @pytest.mark.parametrize("path", ["/", "/docs", "/docs/runbook"])
    def test_each_page_is_there_and_runs_no_script(self, operator: httpx.Client, path: str) -> None:
        operator.post(RUNS, json={**ORDER, "notes": "<script>alert(1)</script>"})
        page = operator.get(path)
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]

    def test_a_runs_page_shows_hostile_notes_as_text(self, operator: httpx.Client) -> None:
        run = operator.post(RUNS, json={**ORDER, "notes": "<script>alert(1)</script>"}).json()
        page = operator.get(f"/runs/{run['id']}").text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script" not in page

    def test_every_failure_code_has_its_anchor(self, operator: httpx.Client) -> None:
        page = operator.get("/docs/runbook").text
        assert all(f'id="{code.value}"' in page for code in FailureCode)
