"""Foreign text in Markdown can be read, and does nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from moonmind.domain.markdown import bounded_lines, clip, code_span, fenced, inert, inline, one_line, table_code

GITHUB = MarkdownIt("gfm-like", {"linkify": False})
MARKDOWN = st.text(alphabet="`*_[]()<>|~&#@!\\-+=.:/ \t\nabw12\u202e\u200b\u2028", max_size=60)
HARMLESS = {"paragraph_open", "paragraph_close", "inline", "text", "code_inline", "softbreak"}


def kinds(markdown: str) -> set[str]:
    tokens = GITHUB.parse(markdown)
    return {token.type for block in tokens for token in [block, *(block.children or [])]}


def read_back(markdown: str) -> str:
    """What a reader sees, without what only stops a forge."""
    texts = [child.content for block in GITHUB.parse(markdown) for child in block.children or []]
    return "".join(texts).replace("\u200b", "")


class TestInline:
    @given(MARKDOWN)
    def test_it_makes_no_markup_but_code(self, text: str) -> None:
        assert kinds(inline(text)) <= HARMLESS

    @given(st.text(max_size=80))
    def test_any_text_makes_no_markup_but_code(self, text: str) -> None:
        assert kinds("- [x] " + inline(text)) <= HARMLESS | {
            "bullet_list_open",
            "bullet_list_close",
            "list_item_open",
            "list_item_close",
        }

    @pytest.mark.parametrize(
        "text",
        ["Create `src/a_b.py` & <b>test</b>", "a|b [x](y) *z* ~~no~~", "- not a list", "1. not a list", "# no heading"],
    )
    def test_a_reader_sees_the_text_as_it_was(self, text: str) -> None:
        assert read_back(inline(text)) == text.replace("`", "")

    @pytest.mark.parametrize(
        "text", ["@nina", "a@b.example", "#12", "o/r#12", "GH-7", "https://x.example", "www.x.example"]
    )
    def test_a_forge_finds_nothing_to_link(self, text: str) -> None:
        found = re.findall(r"@\w|#\d|GH-\d|://|www\.", inline(text))
        assert found == []


class TestCode:
    @given(st.text(max_size=60))
    def test_nothing_breaks_out_of_a_code_span(self, text: str) -> None:
        if one_line(text):
            assert kinds(f"x {code_span(text)} y") == {
                "paragraph_open",
                "inline",
                "text",
                "code_inline",
                "paragraph_close",
            }

    @given(MARKDOWN)
    def test_nothing_breaks_out_of_a_code_block(self, text: str) -> None:
        blocks = GITHUB.parse(f"{fenced(text)}\n")
        assert [block.type for block in blocks] == ["fence"]

    @given(MARKDOWN)
    def test_nothing_breaks_out_of_a_table_cell(self, text: str) -> None:
        table = GITHUB.parse(f"| a | b |\n| --- | --- |\n| {table_code(text)} | 7 |\n")
        cells = [block.content for block in table if block.type == "inline"]
        assert cells[3:] == ["7"]

    def test_a_code_block_keeps_lines_and_indent(self) -> None:
        assert fenced("a\r\n\tb\n   c\x1b[31m\n") == "```\na\n\tb\n   c [31m\n```"


class TestLines:
    def test_control_and_direction_characters_are_gone(self) -> None:
        assert one_line("a\r\nb\x00c\u202ed\ud800\u2028e") == "a b cd e"

    def test_an_emoji_stays_whole(self) -> None:
        assert one_line("👩‍🚀 🎯") == "👩‍🚀 🎯"

    def test_text_that_is_too_long_says_so(self) -> None:
        assert clip("abcdef", 4) == "abc…"
        assert clip("abcd", 4) == "abcd"

    def test_lines_that_do_not_fit_are_counted(self) -> None:
        assert bounded_lines(["aaa", "bbb", "ccc"], limit=8, more="{count} more") == ["aaa", "bbb", "1 more"]

    @given(st.text())
    def test_an_inert_line_is_one_line(self, text: str) -> None:
        assert len(inert(text).splitlines()) <= 1
