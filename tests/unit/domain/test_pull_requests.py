"""The pull request tells a reviewer all, fits the forge, and obeys nobody it quotes."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from moonmind.domain.pull_requests import (
    BODY_LIMIT,
    TITLE_LIMIT,
    find_marker,
    marker_of,
    pull_request_body,
    pull_request_title,
)
from moonmind.domain.results import Applied, Discovered, FileChange, PhaseRef, Submitted, TaskRef
from tests.unit.domain.work import RUN_ID, T012, T013, T014, applied, discovered, run_facts, submitted

GOLDEN = Path(__file__).parents[2] / "fixtures" / "pull_requests"
HOSTILE = (
    "x --> </details><script>alert(1)</script> @everyone fixes #1 `a``b` | [l](http://e.example) \r\n# H\n- [x] T999"
)


def body(found: Discovered, took: Submitted | None = None, got: Applied | None = None, **facts: object) -> str:
    return pull_request_body(found, took or submitted(), got or applied(), facts=run_facts(**facts))


class TestGolden:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("reported.md", body(discovered())),
            ("linked.md", body(discovered(), web_url="https://github.com/acme/habits")),
            (
                "unverified.md",
                body(
                    discovered(documents=(), warnings=(), base_branch="release/2"),
                    submitted(last_message="", usage=None),
                    applied(unverified=True, ticked=(T012, T013, T014), left_open=()),
                    notes=None,
                ),
            ),
        ],
    )
    def test_the_body_is_the_one_that_was_approved(self, name: str, text: str) -> None:
        assert text == (GOLDEN / name).read_text(encoding="utf-8")

    def test_the_title_names_feature_and_phase(self) -> None:
        assert pull_request_title(discovered()) == (
            "001-celery-chain-workflow: Phase 3: User Story 1 \u2013 Trigger Next Spec Phase (Priority: P1) 🎯 MVP"
        )


class TestWhatTheReviewerReads:
    def test_the_marker_of_the_run_is_the_last_line(self) -> None:
        marker = find_marker(body(discovered()))
        assert marker == marker_of(discovered(), RUN_ID)
        assert marker.run == str(RUN_ID)

    def test_finished_and_open_tasks_stand_in_the_order_of_the_file(self) -> None:
        text = body(discovered(), got=applied(ticked=(T014, T012), left_open=(T013,)))
        assert re.findall(r"^- \[(.)\] `(T\d+)`", text, re.MULTILINE) == [("x", "T012"), (" ", "T013"), ("x", "T014")]

    def test_ticks_on_trust_are_called_unverified(self) -> None:
        assert "**Unverified:**" in body(discovered(), got=applied(unverified=True))
        assert "nverified" not in body(discovered())

    def test_documents_are_linked_at_the_base_commit(self) -> None:
        text = body(discovered(documents=("specs/001 a/pl(a)n.md",)), web_url="https://forge.example/acme/habits")
        base = discovered().base_sha
        assert f"](https://forge.example/acme/habits/blob/{base}/specs/001%20a/pl%28a%29n.md)" in text

    def test_it_says_how_to_have_it_done_again(self) -> None:
        text = body(discovered(feature_key="it's; rm -rf `x`"))
        assert "moonmind run acme/habits --feature 'it'\"'\"'s; rm -rf `x`'" in text
        assert f"moonmind retry {RUN_ID}" in text


GITHUB = MarkdownIt("gfm-like", {"linkify": False})


def inlines(markdown: str) -> Sequence[Token]:
    return [child for block in GITHUB.parse(markdown) for child in block.children or []]


def prose(markdown: str) -> str:
    """What is not code: mentions and references count there only."""
    return "\n".join(token.content for token in inlines(markdown) if token.type == "text")


def blocks(markdown: str) -> Sequence[str]:
    """The structure that a reader sees: the kinds of blocks, in order."""
    return [token.type for token in GITHUB.parse(markdown)]


class TestHostileText:
    def test_no_value_adds_structure_or_calls_anybody(self) -> None:
        task = TaskRef(3, HOSTILE, HOSTILE, notes=(HOSTILE,))
        plain = TaskRef(3, "x", "T1")
        hostile = body(
            discovered(
                feature_key=HOSTILE,
                base_branch=HOSTILE,
                phase=PhaseRef(HOSTILE, 1),
                tasks_path=HOSTILE,
                documents=(HOSTILE,),
                warnings=(HOSTILE,),
            ),
            submitted(agent=HOSTILE, agent_version=HOSTILE, last_message=HOSTILE),
            applied(ticked=(task,), left_open=(), files=(FileChange(HOSTILE, 1, 1),)),
            requested_by=HOSTILE,
            notes=HOSTILE,
        )
        harmless = body(
            discovered(documents=("x",), warnings=("x",)),
            submitted(last_message="x"),
            applied(ticked=(plain,), left_open=(), files=(FileChange("x", 1, 1),)),
            requested_by="x",
            notes="x",
        )
        assert blocks(hostile) == blocks(harmless)
        assert re.findall(r"@\w|#\d|://e", prose(hostile)) == []
        assert [token.type for token in inlines(hostile) if token.type.startswith(("html", "link", "image"))] == [
            "link_open",
            "link_close",
        ]
        assert find_marker(hostile) is not None

    @given(st.text(max_size=200))
    def test_a_title_is_one_short_line_that_mentions_nobody(self, text: str) -> None:
        title = pull_request_title(discovered(feature_key="@team fixes #12", phase=PhaseRef(text, 1)))
        assert len(title.splitlines()) == 1
        assert len(title) <= TITLE_LIMIT
        assert re.findall(r"@\w|#\d", title) == []

    @pytest.mark.parametrize("fill", ["w", "`", "@#<|", "\n", "🎯", "_*"])
    def test_a_body_of_any_size_fits_and_keeps_its_marker(self, fill: str) -> None:
        long = fill * 5_000
        tasks = tuple(TaskRef(line, long, f"T{line}{long}") for line in range(200))
        text = body(
            discovered(
                feature_key=long,
                feature_dir=long,
                base_branch=long,
                phase=PhaseRef(long, 1),
                tasks_path=long,
                documents=(long,) * 200,
                warnings=(long,) * 200,
            ),
            submitted(agent=long, agent_version=long, last_message=long),
            applied(ticked=tasks, left_open=tasks, files=(FileChange(long, 1, 1),) * 5_000),
            requested_by=long,
            notes=long,
            web_url="https://forge.example/acme/habits",
        )
        assert len(text) <= BODY_LIMIT
        assert find_marker(text) is not None
        assert "more" in text
