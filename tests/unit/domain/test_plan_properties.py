"""Whatever the bytes: the reader answers, in time, and ticking touches nothing but marks."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from moonmind.domain.plan import PlanStatus, TaskState, plan_report, read_plan
from moonmind.domain.plan_blocks import BlockReader, LineKind
from moonmind.domain.plan_text import decode_plan
from moonmind.domain.ticking import reported_done, tick, ticked_elsewhere

MARKS = (" ", "x", "X", "~", "-", "N/A")
WORDS = st.text(st.sampled_from("abc äé中 *`_[]()<>!-#:.T01"), max_size=12)


@st.composite
def task_lines(draw: st.DrawFn) -> str:
    indent = draw(st.sampled_from(["", "", "", "  ", "    ", "\t"]))
    bullet = draw(st.sampled_from(["-", "-", "*", "+", "1."]))
    mark = draw(st.sampled_from(MARKS))
    number = draw(st.integers(1, 12))
    return f"{indent}{bullet} [{mark}] T{number:03} {draw(WORDS)}"


OTHER_LINES = st.sampled_from(
    [
        "",
        "",
        "# Tasks",
        "## Phase 1: Setup",
        "## Phase 2: Core",
        "### Tests",
        "## Notes",
        "**Phase 3: More**",
        "```",
        "~~~",
        "<!--",
        "-->",
        "> quoted",
        "---",
        "text",
        "  more text",
        "- [ ] no id",
        "  - [x] a check",
        "- [P] T001, T002",
    ]
)
LINES = st.lists(st.one_of(task_lines(), task_lines(), OTHER_LINES, WORDS), max_size=30)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"]))
    return (end.join(draw(LINES)) + draw(st.sampled_from(["", end]))).encode(encoding)


@st.composite
def files_with_work(draw: st.DrawFn) -> bytes:
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(["- [ ] T100 First", *draw(LINES)]).encode()


class TestAnyBytes:
    @given(st.one_of(st.binary(max_size=400), files()))
    def test_are_answered(self, content: bytes) -> None:
        plan = read_plan(content)
        json.dumps(plan_report(plan)).encode()
        assert (plan.status is PlanStatus.UNREADABLE) == bool(plan.reason)
        assert (plan.status is PlanStatus.WORK) == (plan.next_phase is not None)
        lines = [task.line for task in plan.tasks]
        assert len(set(lines)) == len(lines)

    @given(st.binary(max_size=300), files())
    def test_come_back_from_decoding_as_they_were(self, noise: bytes, content: bytes) -> None:
        for candidate in (noise, content, b"\xff\xfe" + noise[: len(noise) // 2 * 2], b"\xef\xbb\xbf" + noise):
            if read_plan(candidate).status is not PlanStatus.UNREADABLE:
                assert tick(candidate, []) == candidate
                text = decode_plan(candidate)
                assert text.encode(text.raw) == candidate
                assert len(text.raw) == len(text.readable)

    @given(st.one_of(st.binary(max_size=200), files()), files())
    def test_can_be_compared(self, edited: bytes, base: bytes) -> None:
        submitted = [task.ref for task in read_plan(base).tasks]
        lines = {task.line for task in submitted}
        assert (reported_done(base, edited, submitted) or frozenset()) <= lines
        assert ticked_elsewhere(base, edited, submitted) <= lines


class TestTicking:
    @given(files_with_work())
    def test_changes_only_the_chosen_marks(self, content: bytes) -> None:
        plan = read_plan(content)
        open_lines = [task.line for task in plan.tasks if task.state is TaskState.OPEN]
        chosen = open_lines[::2]
        ticked = tick(content, chosen)
        before, after = decode_plan(content), decode_plan(ticked)
        assert len(before.spans) == len(after.spans)
        for number in range(1, len(before.spans) + 1):
            old, new = before.line(number), after.line(number)
            if number in chosen:
                assert new in {old.replace("[ ]", "[x]", 1), old.replace("[ ]", "[X]", 1)}
            else:
                assert new == old
        assert tick(ticked, chosen) == ticked

    @given(files_with_work())
    def test_is_understood_as_the_report_of_those_tasks(self, content: bytes) -> None:
        submitted = [task.ref for task in read_plan(content).tasks if task.state is TaskState.OPEN]
        chosen = {task.line for task in submitted[::2]}
        assert reported_done(content, tick(content, chosen), submitted) == frozenset(chosen)
        assert reported_done(content, content, submitted) is None
        assert ticked_elsewhere(content, tick(content, chosen), submitted) == chosen


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Markdown whose nesting is written as CommonMark wants it."""
    lines: list[str] = []
    indents = [0]
    for _ in range(draw(st.integers(1, 14))):
        pad = " " * draw(st.sampled_from(indents))
        kind = draw(
            st.sampled_from(["item", "item", "fence", "fence", "open fence", "text", "heading", "blank", "comment"])
        )
        if kind == "item":
            bullet = draw(st.sampled_from(["-", "*", "1."]))
            lines.append(f"{pad}{bullet} [ ] T001 x")
            indents = [indent for indent in indents if indent <= len(pad)] + [len(pad) + len(bullet) + 1]
        elif kind in ("fence", "open fence"):
            fence = draw(st.sampled_from(["```", "````", "~~~"]))
            lines += [f"{pad}{fence}{draw(st.sampled_from(['', 'sh']))}", f"{pad}- [ ] T002 in code", f"{pad}# in code"]
            # A fence ends the items that are deeper than it, and with them the indents below them.
            indents = [indent for indent in indents if indent <= len(pad)]
            if kind == "fence":
                lines.append(f"{pad}{fence}")
        elif kind == "comment":
            lines += ["", "<!-- a", "- [ ] T003 in a comment", "-->", ""]
            indents = [0]
        elif kind == "heading":
            lines.append("## Phase 1")
            indents = [0]
        else:
            lines.append("" if kind == "blank" else f"{pad}text")
    return "\n".join(lines) + "\n"


class TestSecondOpinion:
    @given(documents())
    def test_agrees_on_code_and_list_items(self, document: str) -> None:
        ours = list(BlockReader(decode_plan(document.encode())).lines())
        items, code, headings = set(), set(), set()
        for token in MarkdownIt("commonmark").parse(document):
            if token.map is None:
                continue
            if token.type == "list_item_open":
                items.add(token.map[0] + 1)
            elif token.type == "fence":
                code |= {token.map[0] + 1}
            elif token.type == "heading_open" and token.level == 0:
                headings.add(token.map[0] + 1)
        assert {line.number for line in ours if line.kind is LineKind.ITEM} == items
        fences = {line.opened_at for line in ours if line.kind is LineKind.FENCE}
        assert fences == code
        ours_headings = {line.number for line in ours if line.kind is LineKind.HEADING and line.parent is None}
        assert ours_headings == headings


def test_an_item_deeper_than_commonmark_allows_is_an_item_nevertheless() -> None:
    """A long search found this: the fence ends the inner item, so the last line is no item to CommonMark."""
    document = "- [ ] T001 a\n  - [ ] T002 b\n  ```\n  code\n  ```\n  text\n      - [ ] T003 c\n"
    ours = BlockReader(decode_plan(document.encode())).lines()
    assert [line.number for line in ours if line.kind is LineKind.ITEM] == [1, 2, 7]


def seconds(work: Callable[[], object]) -> float:
    """Take the best of two, since other work on the machine only ever adds."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


class TestCost:
    def tasks(self, count: int) -> bytes:
        return b"".join(
            b"## Phase %d\n- [ ] T%05d [P] [US1] %b\n  - a note\n" % (number, number, b"word " * 12)
            for number in range(count)
        )

    @pytest.mark.parametrize(
        "unit",
        [
            b"- [ ] T001 x\n",
            b"## Phase 1\n- [x] T001 x\n",
            b"### T001: x\n",
            b"```a\n- [ ] T001 x\n",
            b"> - [ ] T001 x\n",
            b"**Phase 1**\n\n",
            b"- - - - x\n",
            b"  - [ ] x\n",
            b"- ",
            b"[",
            b" ",
            b"T001-",
            b"`",
            b"~~",
            b"\xe7\xac\xac",
            b"Phase ",
            b"- [ ] ",
            b"<!--",
        ],
    )
    def test_grows_with_the_size_alone(self, unit: bytes) -> None:
        """A quadratic step would make four times the size cost sixteen times the time."""
        small = b"- [ ] T001 " + unit * (15_000 // len(unit))
        large = b"- [ ] T001 " + unit * (60_000 // len(unit))
        assert seconds(lambda: read_plan(large)) < 9 * seconds(lambda: read_plan(small)) + 0.05

    def test_of_ten_thousand_tasks_is_small(self) -> None:
        content = self.tasks(10_000)
        assert len(content) > 1_000_000
        start = time.process_time()
        read_plan(content)
        assert time.process_time() - start < 1.0  # a quarter of that on a quiet machine

    def test_of_deep_nesting_is_small(self) -> None:
        content = b"".join(b" " * (2 * depth) + b"- [ ] T%d x\n" % depth for depth in range(1_000))
        assert read_plan(content).tasks_total == 1_000
        assert seconds(lambda: read_plan(content)) < 1.0

    def test_of_ticking_and_comparing_grows_with_the_size_alone(self) -> None:
        def compare(count: int) -> float:
            content = self.tasks(count)
            submitted = [task.ref for task in read_plan(content).tasks]
            return seconds(lambda: reported_done(content, tick(content, [task.line for task in submitted]), submitted))

        assert compare(1_200) < 9 * compare(300) + 0.05
