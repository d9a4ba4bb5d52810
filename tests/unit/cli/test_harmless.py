"""Text of strangers must not reach the terminal as orders."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind.cli.harmless import harmless, harmless_lines


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("all good\rALL BAD", r"all good\rALL BAD"),
        ("two\nlines", r"two\nlines"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("a\tb", "a    b"),
    ],
)
def test_controls_become_visible(hostile: str, shown: str) -> None:
    assert harmless(hostile) == shown


@pytest.mark.parametrize(
    "text", ["", "Phase 3: Größe & 日本語 — “done”", "👩\u200d💻 wrote it", "می\u200cخواهم", "a\u00a0b"]
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_lines_are_kept_and_each_is_harmless() -> None:
    assert harmless_lines("one\r\n\x1b[31mtwo\n") == ["one", r"\x1b[31mtwo"]


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    left = {unicodedata.category(character) for character in harmless(text).replace("\u200d", "").replace("\u200c", "")}
    assert left.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@given(st.text())
def test_a_second_washing_changes_nothing(text: str) -> None:
    assert harmless(harmless(text)) == harmless(text)
