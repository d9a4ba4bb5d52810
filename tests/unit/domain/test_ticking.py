"""Ticking changes marks and nothing else; an agent's edited file is understood as its report."""

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.plan import read_plan
from moonmind.domain.results import TaskRef
from moonmind.domain.ticking import reported_done, tick, ticked_elsewhere

BASE = """# Tasks
## Phase 1: A
- [x] T001 Done before
- [ ] T002 [P] Second
- [ ] T003 Third
  - [ ] a check
- [ ] T004 Fourth
"""


def refs(content: bytes, *lines: int) -> list[TaskRef]:
    return [task.ref for task in read_plan(content).tasks if task.line in lines]


class TestTick:
    def test_changes_only_the_marks_of_the_chosen_lines(self) -> None:
        expected = BASE.replace("- [ ] T002", "- [x] T002").replace("- [ ] T004", "- [x] T004")
        assert tick(BASE.encode(), [7, 4]) == expected.encode()

    def test_writes_a_capital_where_the_file_has_no_habit(self) -> None:
        assert tick(b"- [ ] T001 a\n", {1}) == b"- [X] T001 a\n"

    def test_follows_the_habit_of_the_file(self) -> None:
        assert tick(b"- [x] T1\n- [X] T02 b\n- [x] T03 b\n- [x] T04 b\n- [ ] T05 c\n", {5}).endswith(b"- [x] T05 c\n")

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    def test_keeps_line_ends_marks_and_stray_bytes(self, end: bytes) -> None:
        content = b"\xef\xbb\xbf## Phase 1 \xff" + end + b"-   [ ]\tT001 \xe9 [ ] x" + end + end + b"* [ ] T002"
        expected = content.replace(b"[ ]\tT001", b"[X]\tT001")
        assert tick(content, [2]) == expected

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_keeps_utf_16(self, encoding: str) -> None:
        mark = "\N{ZERO WIDTH NO-BREAK SPACE}"
        content = (mark + "- [ ] T001 Ü\r\n- [ ] T002 𝄞\r\n").encode(encoding)
        assert tick(content, [2]) == content.replace("[ ] T002".encode(encoding), "[X] T002".encode(encoding))

    def test_fills_empty_brackets(self) -> None:
        assert tick(b"- [] T001 a\n", [1]) == b"- [X] T001 a\n"

    def test_twice_is_the_same_as_once(self) -> None:
        once = tick(BASE.encode(), [4, 5])
        assert tick(once, [4, 5]) == once

    def test_of_nothing_is_the_same_file(self) -> None:
        assert tick(BASE.encode(), []) == BASE.encode()

    @pytest.mark.parametrize("line", [0, 1, 2, 99])
    def test_of_a_line_without_a_box_is_refused(self, line: int) -> None:
        with pytest.raises(ValueError, match="no checkbox"):
            tick(BASE.encode(), [line])

    def test_of_no_text_is_refused(self) -> None:
        with pytest.raises(WorkflowError):
            tick(b"- [ ] T001 \x00\n", [1])


class TestReport:
    def after(self, *changes: tuple[str, str]) -> bytes:
        text = BASE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return text.encode()

    def report(self, after: bytes) -> frozenset[int] | None:
        return reported_done(BASE.encode(), after, refs(BASE.encode(), 4, 5, 7))

    def test_names_the_submitted_tasks_that_are_marked_done(self) -> None:
        after = self.after(("- [ ] T002", "- [x] T002"), ("- [ ] T004", "- [X] T004"))
        assert self.report(after) == frozenset({4, 7})

    def test_leaves_out_what_was_not_submitted(self) -> None:
        after = self.after(("- [ ] T002", "- [x] T002"), ("- [ ] T004", "- [X] T004"))
        assert reported_done(BASE.encode(), after, refs(BASE.encode(), 4)) == frozenset({4})

    def test_finds_tasks_that_moved_and_were_reworded(self) -> None:
        after = self.after(("# Tasks\n", "# Tasks\n\nNew text\n"), ("- [ ] T003 Third", "- [X] T003 Third, as planned"))
        assert self.report(after) == frozenset({5})

    @pytest.mark.parametrize(
        "after",
        [
            BASE.encode(),
            BASE.replace("Fourth", "Fourth, started").encode(),
            BASE.replace("\n", "\r\n").encode(),
            BASE.replace("- [x] T001", "- [X] T001").encode(),
            (BASE + "- [x] T005 Found on the way\n").encode(),
            b"",
            b"\x00",
        ],
    )
    def test_is_none_when_no_mark_changed(self, after: bytes) -> None:
        assert self.report(after) is None

    def test_is_empty_when_only_other_marks_changed(self) -> None:
        assert self.report(self.after(("- [ ] T002", "- [~] T002"))) == frozenset()
        assert self.report(self.after(("  - [ ] a check", "  - [x] a check"))) == frozenset()

    def test_tells_tasks_with_the_same_id_apart(self) -> None:
        base = b"- [ ] T001 one\n- [ ] T001 two\n- [ ] T001 three\n"
        after = b"- [ ] T001 one\n- [x] T001 two\n- [ ] T001 three\n"
        assert reported_done(base, after, refs(base, 1, 2, 3)) == frozenset({2})

    def test_tells_reworded_tasks_with_the_same_id_apart_by_their_order(self) -> None:
        base = b"- [ ] T001 one\n- [ ] T001 two\n"
        after = b"- [ ] T001 uno\n- [x] T001 due\n"
        assert reported_done(base, after, refs(base, 1, 2)) == frozenset({2})

    def test_finds_tasks_without_an_id_by_their_text(self) -> None:
        base = b"## A\n- [ ] sweep\n- [ ] wash\n- [ ] sweep\n"
        after = b"## A\n- [ ] sweep\n- [x] wash\n- [x] sweep\n"
        assert reported_done(base, after, refs(base, 2, 3, 4)) == frozenset({3, 4})

    def test_of_a_box_in_a_fence_does_not_count(self) -> None:
        after = b"```\n" + BASE.encode().replace(b"- [ ] T002", b"- [x] T002") + b"```\n"
        assert self.report(after) is None


class TestTickedElsewhere:
    def test_names_what_others_finished(self) -> None:
        tip = BASE.replace("- [ ] T003", "- [x] T003").replace("# Tasks", "# Tasks\n\nintro")
        assert ticked_elsewhere(BASE.encode(), tip.encode(), refs(BASE.encode(), 4, 5)) == {5}

    @pytest.mark.parametrize("tip", [BASE.encode(), b"", b"\x00", b"# rewritten\n- [x] T999 other\n"])
    def test_is_empty_when_nothing_was_finished(self, tip: bytes) -> None:
        assert ticked_elsewhere(BASE.encode(), tip, refs(BASE.encode(), 4, 5)) == frozenset()
