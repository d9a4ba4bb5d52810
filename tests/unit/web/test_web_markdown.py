"""The page's Markdown reads what our pull requests are written in, and lets no markup through."""

import re

from hypothesis import given
from hypothesis import strategies as st

from api_service.web.markdown import Block, Span, read_markdown
from moonmind.domain.markdown import code_span, fenced, inline, one_line


def plain(block: Block) -> list[str]:
    return ["".join(span.text for span in line) for line in block.lines]


def test_the_blocks_of_a_pull_request_are_told_apart() -> None:
    text = (
        "Words with **bold \\_x\\_** and `code`,\nstill the same paragraph.\n\n## Heading\n"
        "- [x] done\n- [ ] open\n- plain\n\n"
        "| A | B |\n| --- | ---: |\n| `a` | 1 |\n| b |\n\n```\n## no heading\n```\n[name](https://x.example/a_b) end"
    )
    blocks = read_markdown(text)
    assert [block.kind for block in blocks] == ["paragraph", "heading", "list", "table", "code", "paragraph"]
    assert plain(blocks[0]) == ["Words with bold _x_ and code, still the same paragraph."]
    assert blocks[0].lines[0][1] == Span("strong", "bold _x_")
    assert (blocks[1].level, plain(blocks[1])) == (2, ["Heading"])
    assert (plain(blocks[2]), blocks[2].marks) == (["done", "open", "plain"], [True, False, None])
    assert [[span.text for cell in row for span in cell] for row in blocks[3].rows] == [["A", "B"], ["a", "1"], ["b"]]
    assert [len(row) for row in blocks[3].rows] == [2, 2, 1]
    assert blocks[4].text == "## no heading"
    assert blocks[5].lines[0][0] == Span("link", "name", "https://x.example/a_b")


def test_only_web_addresses_are_links() -> None:
    for address in ("javascript:alert(1)", "data:text/html,x", "/local", "//x.example", "http://x y"):
        [block] = read_markdown(f"[name]({address})")
        assert {span.kind for span in block.lines[0]} == {"text"}


@given(st.text(alphabet="`*_[]()<>|~&#@!\\-. \n\tabx1", max_size=80))
def test_what_we_escape_is_read_back(text: str) -> None:
    [block] = read_markdown("x " + inline(text))
    shown = plain(block)[0].removeprefix("x ")
    # A code span has no space at its edges.
    assert re.sub(r"[` ]", "", shown) == re.sub(r"[` ]", "", one_line(text))
    assert {span.kind for span in block.lines[0]} <= {"text", "code"}


@given(st.text(alphabet="`a \\*[", max_size=20))
def test_a_code_span_is_read_back(text: str) -> None:
    if one_line(text):
        [block] = read_markdown(f"x {code_span(text)} y")
        assert block.lines[0][1] == Span("code", one_line(text))


@given(st.text(alphabet="`#-|a \n", max_size=60))
def test_a_code_block_is_read_back_as_one(text: str) -> None:
    assert [block.kind for block in read_markdown(fenced(text))] == ["code"]


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    read_markdown(text)


def test_a_hostile_text_is_read_in_time() -> None:
    for piece in ("`", "**", "[", "\\", "[a](http://", "| ", "a|", "- ", "`` ` "):
        read_markdown(piece * 20_000)
        read_markdown(f"| a |\n| --- |\n{piece * 20_000}")
        read_markdown(f"{piece} " * 10_000)
    read_markdown("".join(f"{'`' * length} " for length in range(300)))
    read_markdown("|" * 20_000 + "\n" + "|-" * 20_000 + "|" + "\n|" * 20_000)
    read_markdown("| a\n| " + " " * 60_000 + "x")
