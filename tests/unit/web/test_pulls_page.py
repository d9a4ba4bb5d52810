"""The page of a pull request shows it whole, and nothing on it can act."""

import re
from dataclasses import replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api_service.web.pulls import PullRequestPages, pull_request_pages, router
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import PullRequest, PullRequestState
from moonmind.domain.pull_requests import pull_request_body
from moonmind.forges.local import LocalForge
from moonmind.testing.forges import InMemoryForge
from tests.unit.domain.work import RUN_ID, applied, discovered, run_facts, submitted

PULL = PullRequest(
    number=7,
    url="http://127.0.0.1:5000/forge/acme/habits/pulls/7",
    state=PullRequestState.OPEN,
    head="moonmind/001-habits/phase-1",
    head_sha="ab" * 20,
    base="main",
    title="001-habits: Phase 1",
    body=pull_request_body(discovered(), submitted(), applied(), facts=run_facts()),
)
DIFF = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-old <b>\n+new & fine\n"


class Shelf:
    """Holds one pull request."""

    def __init__(self) -> None:
        self.pull = PULL
        self.content = DIFF

    def read(self, repository: str, number: int) -> PullRequest:
        if (repository, number) != ("acme/habits", self.pull.number):
            raise WorkflowError(FailureCode.PULL_REQUEST_NOT_FOUND, f"There is no pull request #{number}.")
        return self.pull

    def diff(self, repository: str, number: int) -> bytes:
        return self.content


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def client(shelf: Shelf) -> TestClient:
    app = FastAPI()
    app.include_router(router)
    app.dependency_overrides[pull_request_pages] = lambda: shelf
    return TestClient(app)


def test_it_shows_title_state_words_and_changes(client: TestClient) -> None:
    answer = client.get("/forge/acme/habits/pulls/7")
    assert answer.status_code == 200
    assert "<h1>001-habits: Phase 1</h1>" in answer.text
    assert '<span class="state open">open</span>' in answer.text
    assert '<li class="task"><span class="box" role="img" aria-label="done">' in answer.text
    assert '<td class="text">new &amp; fine</td>' in answer.text
    assert '<td class="text">old &lt;b&gt;</td>' in answer.text
    assert "moonmind forge merge acme/habits 7" in answer.text


def test_it_links_to_the_run_and_hides_the_marker(client: TestClient) -> None:
    text = client.get("/forge/acme/habits/pulls/7").text
    assert f'href="/runs/{RUN_ID}"' in text
    assert f'href="http://127.0.0.1:5000/runs/{RUN_ID}"' in text
    assert "moonmind run=" not in text


def test_one_that_was_decided_offers_no_decision(client: TestClient, shelf: Shelf) -> None:
    shelf.pull = replace(PULL, state=PullRequestState.MERGED)
    text = client.get("/forge/acme/habits/pulls/7").text
    assert '<span class="state merged">merged</span>' in text
    assert "moonmind forge merge" not in text


def test_its_policy_lets_nothing_run(client: TestClient) -> None:
    answer = client.get("/forge/acme/habits/pulls/7")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy
    assert not re.search(r"<script|<style|style=|\son\w+=", answer.text)


def test_hostile_text_stays_text(client: TestClient, shelf: Shelf) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>[a](javascript:alert(1)){{ 7*7 }}"
    shelf.pull = replace(
        PULL, title=evil, head=evil, base=evil, body=f"{evil}\n\n# {evil}\n- [x] {evil}\n```\n{evil}\n```"
    )
    shelf.content = DIFF.replace(b"a.py", evil.encode()).replace(b"new", evil.encode())
    text = client.get("/forge/acme/habits/pulls/7").text
    assert not re.search(r"<script|<img|href=\"javascript", text)
    assert "{{ 7*7 }}" in text


@pytest.mark.parametrize("path", ["/forge/acme/habits/pulls/8", "/forge/acme/other/pulls/7"])
def test_one_that_is_not_there_gets_a_page_that_says_so(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is no pull request" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("number", ["0", "-1", "x", "99999999999"])
def test_a_number_that_none_can_have_is_refused(client: TestClient, number: str) -> None:
    assert client.get(f"/forge/acme/habits/pulls/{number}").status_code == 422


def test_a_forge_that_keeps_its_pull_requests_here_has_pages(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert isinstance(LocalForge(tmp_path_factory.mktemp("forge"), public_url="http://x.invalid"), PullRequestPages)
    assert not isinstance(InMemoryForge(), PullRequestPages)
