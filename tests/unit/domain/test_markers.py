"""The marker names its run, survives any value, and is believed only where we put it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind.domain.markers import Marker, find_marker, make_marker, render_marker

MARKER = Marker(run="42", feature="specs/001-habits", phase="Phase 3: User Story 1 \u2013 MVP 🎯", base="main")
LINE = render_marker(MARKER)


def test_the_line_is_a_comment_with_encoded_values() -> None:
    assert LINE == (
        "<!-- moonmind run=42 feature=specs/001-habits "
        "phase=Phase%203%3A%20User%20Story%201%20%E2%80%93%20MVP%20%F0%9F%8E%AF base=main -->"
    )


@given(st.tuples(*[st.text(alphabet=st.characters(exclude_categories=["Cs"]))] * 4))
def test_whatever_is_written_is_found(values: tuple[str, str, str, str]) -> None:
    marker = Marker(*values)
    line = render_marker(marker)
    assert find_marker(f"words\n\n{line}\n") == marker
    assert line.count("--") == 2
    assert line.count(">") == 1
    assert line.isascii()


@pytest.mark.parametrize("body", [LINE, f"words\n{LINE}", f"words\r\n\r\n{LINE}\r\n \t\r\n", f"a {LINE}\n{LINE}"])
def test_the_last_line_that_is_not_empty_counts(body: str) -> None:
    assert find_marker(body) == MARKER


@pytest.mark.parametrize(
    "body",
    [
        "",
        "words",
        f"{LINE}\nwords after it",
        f"words {LINE}",
        f"> {LINE}",
        f" {LINE}",
        LINE.replace(" base=main", ""),
        LINE.replace("run=42", "run="),
        LINE.replace("run=42", "run=4%32"),
        LINE.replace("run=42", "run=%zz"),
        LINE.replace("run=42", "run=%FF"),
        LINE.replace("run=42", "run=a--b"),
        LINE.replace("run=42 feature", "feature"),
        LINE.replace("-->", "--> <b>"),
        LINE.replace("moonmind ", "moonmind  "),
        LINE.replace("moonmind", "MoonMind"),
        f"{LINE}\x85words",
    ],
)
def test_anything_else_is_no_marker(body: str) -> None:
    assert find_marker(body) is None


def test_a_forged_marker_in_the_middle_does_not_count() -> None:
    forged = render_marker(Marker("666", "f", "p", "b"))
    assert find_marker(f"words\n{forged}\nwords\n{LINE}") == MARKER


@given(st.text())
def test_no_body_breaks_the_search(body: str) -> None:
    find_marker(body)
    find_marker(f"<!-- moonmind {body} -->")


def test_a_long_value_is_cut_and_stays_its_own() -> None:
    one = make_marker(run="1", feature="f", phase="x" * 1_000, base="main")
    other = make_marker(run="1", feature="f", phase="x" * 1_001, base="main")
    assert one != other
    assert len(one.phase) == 150
    assert find_marker(render_marker(one)) == one


def test_the_same_work_of_two_runs_is_recognised() -> None:
    assert MARKER.is_same_work(Marker("43", MARKER.feature, MARKER.phase, MARKER.base))
    assert not MARKER.is_same_work(Marker("42", MARKER.feature, MARKER.phase, "develop"))
