"""What the reader makes of task lists as people and agents write them."""

import json
from pathlib import Path

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.plan import (
    Plan,
    PlanStatus,
    TaskState,
    next_slice,
    plan_report,
    read_plan,
    select_phase,
    select_tasks,
)
from moonmind.domain.plan_text import MAX_BYTES, MAX_LINES

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tasks"


def plan_of(text: str) -> Plan:
    return read_plan(text.encode())


def fixture(name: str) -> Plan:
    return read_plan((FIXTURES / name).read_bytes())


def titles(plan: Plan) -> list[str]:
    return [phase.title for phase in plan.phases]


def ids(plan: Plan) -> list[str | None]:
    return [task.id for task in plan.tasks]


def warned(plan: Plan, words: str) -> bool:
    return any(words in warning for warning in plan.warnings)


class TestWholeFiles:
    def test_the_template_of_today(self) -> None:
        plan = fixture("bookshelf.md")
        assert plan.status is PlanStatus.WORK
        assert titles(plan) == [
            "Phase 1: Setup (Shared Infrastructure)",
            "Phase 2: Foundational (Blocking Prerequisites)",
            "Phase 3: User Story 1 - Lend a book (Priority: P1) 🎯 MVP",
            "Phase N: Polish & Cross-Cutting Concerns",
            "Phase 5: Convergence",
        ]
        assert ids(plan) == [f"T{number:03}" for number in range(1, 13)]
        assert (plan.tasks_total, plan.tasks_done, plan.tasks_other) == (12, 3, 3)
        assert plan.next_phase is not None
        assert [task.id for task in plan.next_phase.open_tasks] == ["T004"]

    def test_a_task_brings_the_lines_that_belong_to_it(self) -> None:
        plan = fixture("bookshelf.md")
        by_id = {task.id: task for task in plan.tasks}
        assert by_id["T004"].notes == ("- runs on both databases", "- [ ] the downgrade is tested")
        assert by_id["T008"].notes[0] == "```python"
        assert by_id["T008"].notes[-1] == "```"
        assert by_id["T008"].text == "[US1] Implement the service:"
        assert by_id["T008"].ref.notes == by_id["T008"].notes

    def test_states_of_tasks(self) -> None:
        states = {task.id: task.state for task in fixture("bookshelf.md").tasks}
        assert states["T005"] is TaskState.OTHER
        assert states["T009"] is TaskState.CANCELLED
        assert states["T010"] is TaskState.CANCELLED

    def test_labels_of_tasks(self) -> None:
        by_id = {task.id: task for task in fixture("bookshelf.md").tasks}
        assert by_id["T006"].is_parallel
        assert by_id["T006"].story == "US1"
        assert not by_id["T008"].is_parallel
        assert by_id["T003"].story is None
        assert by_id["T011"].is_by_hand
        assert not by_id["T008"].is_by_hand

    def test_the_template_before_october_2025_gives_the_documented_report(self) -> None:
        report = plan_report(fixture("dotted.md"))
        assert json.loads(json.dumps(report)) == {
            "status": "work",
            "tasks_total": 4,
            "tasks_done": 2,
            "tasks_other": 0,
            "phases": [
                {"title": "Phase 3.1: Setup", "line": 3, "total": 3, "done": 1, "open": 2},
                {
                    "title": "Phase 3.2: Tests First (TDD) ⚠️ MUST COMPLETE BEFORE 3.3",
                    "line": 8,
                    "total": 1,
                    "done": 1,
                    "open": 0,
                },
            ],
            "next_phase": {
                "title": "Phase 3.1: Setup",
                "line": 3,
                "open_ids": ["T002", "T003"],
                "open_lines": [5, 6],
            },
            "warnings": [
                "2 open checkboxes outside the phases taken for references or checks (lines 19, 20)",
                "“Phase 3.1: Setup” (line 3) still has open tasks (T002, T003) although a later phase was begun",
            ],
        }

    def test_phases_in_another_language(self) -> None:
        plan = fixture("tea_house.md")
        assert titles(plan) == ["第一階段：準備", "第二階段：點單"]
        assert ids(plan) == ["T001", "T002", "T003"]

    def test_a_file_without_ids_or_phases(self) -> None:
        plan = fixture("flat.md")
        assert titles(plan) == ["Tasks"]
        assert [task.text for task in plan.tasks] == [
            "Draw the floor plan",
            "Order the timber",
            "Count the tiles",
            "P95 of all deliveries arrive in time",
        ]
        assert plan.tasks[1].notes == ("- [ ] ask for oak",)
        report = plan_report(plan)
        assert report["next_phase"] == {"title": "Tasks", "line": 1, "open_ids": [], "open_lines": [4, 7, 8]}

    def test_tasks_that_are_headings_are_unreadable_and_counted(self) -> None:
        plan = fixture("headings.md")
        assert plan.status is PlanStatus.UNREADABLE
        assert "2 tasks written as headings" in plan.reason
        assert "1 checkbox in backticks" in plan.reason
        assert "1 in a quotation" in plan.reason
        assert "line 3" in plan.reason
        assert "1: # Tasks: Garden" in plan.reason
        assert plan.next_phase is None
        assert plan_report(plan)["warnings"] == [plan.reason]


class TestIds:
    @pytest.mark.parametrize(
        ("line", "expected", "text"),
        [
            ("- [ ] T001 Do it", "T001", "Do it"),
            ("* [ ] T1000: Do it", "T1000", "Do it"),
            ("+ [ ] T015a [P] Do it", "T015a", "[P] Do it"),
            ("1. [ ] T019C Do it", "T019C", "Do it"),
            ("2) [ ] T-010 - Do it", "T-010", "Do it"),
            ("- [ ] T-AI-003 Do it", "T-AI-003", "Do it"),
            ("- [ ] T023.1 [X] Do it", "T023.1", "[X] Do it"),
            ("- [ ] T044-MIN Do it", "T044-MIN", "Do it"),
            ("- [ ] T05-001 Do it", "T05-001", "Do it"),
            ("- [ ] TASK-12 Do it", "TASK-12", "Do it"),
            ("- [ ] Task 1.2: Do it", "Task 1.2", "Do it"),
            ("- [ ] **T001** `src/x.py` do it", "T001", "`src/x.py` do it"),
            ("- [ ] **T001: Do it**", "T001", "Do it"),
            ("- [ ] **T001** **bold** text", "T001", "**bold** text"),
            ("- [ ] [T001] Do it", "T001", "Do it"),
            ("- [ ] [P] [FR-036] T001 Do it", "T001", "Do it"),
            ("- [ ] ✅ T001 Do it", "T001", "Do it"),
            ("- [ ] `T001` Do it", "T001", "Do it"),
            ("- [ ] T001-T005 Do all", "T001", "-T005 Do all"),
            ("- [ ]T001 Do it", "T001", "Do it"),
            ("-   [ ] T001 Do it", "T001", "Do it"),
            ("- [] T001 Do it", "T001", "Do it"),
            ("- [ ] T001 [P][US1] Do it", "T001", "[P][US1] Do it"),
            ("- [x] T014 [x] twice", "T014", "[x] twice"),
            ("- [ ] T001建立", "T001", "建立"),
        ],
    )
    def test_are_found_in_every_dress(self, line: str, expected: str, text: str) -> None:
        [task] = plan_of(f"## Phase 1: A\n{line}\n").tasks
        assert (task.id, task.text) == (expected, text)

    def test_of_other_letters_need_company(self) -> None:
        plan = plan_of("## Phase 1\n- [ ] S001 One\n- [ ] S002 Two\n- [ ] UTF-8 works\n- [ ] Read the spec\n")
        assert ids(plan) == ["S001", "S002"]
        assert warned(plan, "2 open checkboxes without an id")

    def test_with_dots_count_where_they_are_the_rule(self) -> None:
        plan = plan_of("# Plan\n- [ ] 1. Set up\n  - [x] 1.1 Create it\n  - [ ]* 1.2 Test it\n- [x] 2. Ship\n")
        assert [(task.id, task.state.value) for task in plan.tasks] == [
            ("1", "open"),
            ("1.1", "done"),
            ("1.2", "open"),
            ("2", "done"),
        ]

    def test_with_dots_do_not_count_among_tasks(self) -> None:
        assert ids(plan_of("## Phase 1\n- [x] T001 A\n- [ ] 5 instances run\n- [ ] 2.1 AA holds\n")) == ["T001"]

    def test_used_twice_are_kept_and_warned_about(self) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A\n## Phase 2\n- [ ] T001 B\n")
        assert [(task.id, task.line) for task in plan.tasks] == [("T001", 2), ("T001", 4)]
        assert warned(plan, "the id T001 is used 2 times (lines 2, 4)")

    def test_of_a_file_pasted_twice_stay_apart(self) -> None:
        once = "# Tasks\n## Phase 1: A\n- [ ] T001 x\n"
        plan = plan_of(once + once)
        assert [phase.line for phase in plan.phases] == [2, 5]
        assert plan.tasks_total == 2


class TestMarks:
    @pytest.mark.parametrize(
        ("mark", "state"),
        [
            (" ", TaskState.OPEN),
            ("x", TaskState.DONE),
            ("X", TaskState.DONE),
            ("~", TaskState.OTHER),
            ("!", TaskState.OTHER),
            (">", TaskState.OTHER),
            ("?", TaskState.OTHER),
            ("⚠️", TaskState.OTHER),
            ("D", TaskState.OTHER),
            ("-", TaskState.CANCELLED),
            ("⊘", TaskState.CANCELLED),
            ("N/A", TaskState.CANCELLED),
        ],
    )
    def test_say_what_they_say(self, mark: str, state: TaskState) -> None:
        [task] = plan_of(f"## Phase 1\n- [{mark}] T001 A\n").tasks
        assert task.state is state

    @pytest.mark.parametrize("legend", ["[P]", "[US1]", "[Story]", "`[P]`", "[T001](x.md)", "[x](y.md)"])
    def test_are_not_legends_or_links(self, legend: str) -> None:
        plan = plan_of(f"## Phase 1\n- [x] T001 A\n- {legend} T002, T003 can run together\n")
        assert ids(plan) == ["T001"]

    @pytest.mark.parametrize(
        "line", ["- [ ] ~~T001 A~~", "- [ ] ~~T001~~ **moved to 097**", "- [ ] T001 ~~A~~", "- [ ] **~~T001~~** A"]
    )
    def test_open_and_struck_out_is_cancelled(self, line: str) -> None:
        plan = plan_of(f"## Phase 1\n{line}\n")
        assert [task.state for task in plan.tasks] == [TaskState.CANCELLED]
        assert plan.status is PlanStatus.NO_WORK

    def test_a_strike_in_the_middle_changes_nothing(self) -> None:
        [task] = plan_of("## Phase 1\n- [ ] T001 use ~~Redis~~ SQLite\n").tasks
        assert task.state is TaskState.OPEN


class TestStatus:
    def test_is_held_when_nothing_is_open_but_something_waits(self) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A\n- [~] T002 B\n")
        assert plan.status is PlanStatus.HELD
        assert plan_report(plan)["next_phase"] is None

    def test_is_no_work_when_all_is_done_or_cancelled(self) -> None:
        assert plan_of("## Phase 1\n- [x] T001 A\n- [-] T002 B\n").status is PlanStatus.NO_WORK

    def test_an_unknown_mark_beside_open_tasks_is_not_submitted(self) -> None:
        plan = plan_of("## Phase 1\n- [~] T001 A\n- [ ] T002 B\n")
        assert plan.next_phase is not None
        assert [task.id for task in plan.next_phase.open_tasks] == ["T002"]

    def test_of_a_file_with_a_checklist_below_task_headings_is_unreadable(self) -> None:
        text = "".join(f"### T00{n}: Do {n}\ntext\n" for n in range(1, 5)) + "## Checklist\n- [x] All read\n"
        plan = plan_of(text)
        assert plan.status is PlanStatus.UNREADABLE
        assert "4 tasks written as headings" in plan.reason

    def test_checkboxes_below_task_headings_are_the_tasks(self) -> None:
        plan = plan_of("## Task 1 - Store\n- [x] save\n- [ ] load\n## Task 2 - Show\n- [ ] list\n")
        assert titles(plan) == ["Task 1 - Store", "Task 2 - Show"]
        assert plan.status is PlanStatus.WORK

    def test_open_tasks_in_a_fence_that_never_closes_are_not_taken_for_no_work(self) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A\n```bash\nrun\n## Phase 2\n- [ ] T002 B\n")
        assert plan.status is PlanStatus.UNREADABLE
        assert "code fence opened on line 3" in plan.reason
        assert "line 6" in plan.reason

    def test_nor_those_in_a_fence_that_another_one_closed_by_accident(self) -> None:
        plan = plan_of("- [x] T001 A\n```txt\nrun\n- [ ] T002 B\n```bash\nmake\n```\n")
        assert plan.status is PlanStatus.UNREADABLE
        assert "code fence opened on line 2" in plan.reason

    def test_an_example_in_a_closed_fence_leaves_no_doubt(self) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A\n```\n- [ ] T999 example\n```\n")
        assert plan.status is PlanStatus.NO_WORK

    def test_tasks_that_share_a_line_are_not_taken_for_no_work(self) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A - [ ] T002 B\n")
        assert plan.status is PlanStatus.UNREADABLE
        assert "line breaks were lost" in plan.reason

    def test_of_a_file_that_lost_its_line_breaks_is_unreadable(self) -> None:
        plan = plan_of("# Tasks ## Phase 1 " + "- [ ] T001 Do this and that " * 60)
        assert plan.status is PlanStatus.UNREADABLE
        assert "its line breaks were lost" in plan.reason


class TestSections:
    def test_phases_may_be_headings_of_the_third_level(self) -> None:
        plan = plan_of("# T\n## Phases\n### Phase 1: A\n- [x] T001 a\n### Phase 2: B\n- [ ] T002 b\n## Notes\n")
        assert titles(plan) == ["Phase 1: A", "Phase 2: B"]

    def test_phases_may_be_bold_lines(self) -> None:
        plan = plan_of("# T\n\n**Phase 1: A**\n\n- [x] T001 a\n\n**Phase 2: B**\n\n- [ ] T002 b\n")
        assert titles(plan) == ["Phase 1: A", "Phase 2: B"]

    def test_phases_may_be_underlined(self) -> None:
        plan = plan_of("Phase 1: A\n---\n- [x] T001 a\n\nPhase 2: B\n---\n- [ ] T002 b\n")
        assert titles(plan) == ["Phase 1: A", "Phase 2: B"]

    def test_a_rule_below_text_is_no_heading(self) -> None:
        plan = plan_of("## Phase 1: A\nPurpose: all\n---\n- [x] T001 a\n")
        assert titles(plan) == ["Phase 1: A"]

    def test_phases_within_phases_are_sub_headings(self) -> None:
        plan = plan_of("## Phase 1: A\n### Phase 1.1: B\n- [ ] T001 b\n### Phase 1.2: C\n- [ ] T002 c\n")
        assert titles(plan) == ["Phase 1: A"]
        assert [task.section for task in plan.tasks] == [2, 4]

    def test_the_title_of_the_document_is_no_phase(self) -> None:
        plan = plan_of("# Phase 1 Tasks: All\n## Phase 1a: A\n- [x] T001 a\n## Phase 1b: B\n- [ ] T002 b\n")
        assert titles(plan) == ["Phase 1a: A", "Phase 1b: B"]

    def test_without_phases_the_sections_hold_the_tasks(self) -> None:
        plan = plan_of("# T\n- [x] T001 a\n## Back\n- [ ] T002 b\n### Deep\n- [ ] T003 c\n## Front\n- [ ] T004 d\n")
        assert titles(plan) == ["T", "Back", "Front"]
        assert plan.phases[1].tasks[1].section == 5

    def test_a_single_section_around_all_is_looked_into(self) -> None:
        plan = plan_of("# T\n## Tasks\n### Setup\n- [x] T001 a\n### Core\n- [ ] T002 b\n")
        assert titles(plan) == ["Setup", "Core"]

    def test_new_tasks_outside_the_phases_come_in_the_order_of_the_file(self) -> None:
        text = "# T\n## Before\n- [ ] T000 z\n## Phase 1\n- [x] T001 a\n## Notes\n- [ ] T001 again\n- [ ] T009 b\n"
        plan = plan_of(text)
        assert titles(plan) == ["Before", "Phase 1", "Notes"]
        assert ids(plan) == ["T000", "T001", "T009"]

    @pytest.mark.parametrize("other", ["R001 Roll back", "FU-1 Later", "SC-001 Fast", "CHK001 Checked", "All is well"])
    def test_other_checks_outside_the_phases_are_no_work(self, other: str) -> None:
        plan = plan_of(f"## Phase 1\n- [x] T001 a\n## After\n- [ ] {other}\n- [ ] {other.replace('1', '2')}\n")
        assert plan.status is PlanStatus.NO_WORK
        assert warned(plan, "2 open checkboxes outside the phases")

    def test_checks_beside_the_tasks_of_a_file_without_phases_are_no_work(self) -> None:
        plan = plan_of("## Build\n- [x] T001 a\n- [x] T002 a\n## Checks\n- [ ] CHK001 c\n- [ ] CHK002 d\n")
        assert plan.status is PlanStatus.NO_WORK

    def test_equal_titles_and_numbers_out_of_order_keep_the_order_of_the_file(self) -> None:
        plan = plan_of("## Phase 9: B\n- [ ] T002 b\n## Phase 3: A\n- [ ] T001 a\n## Phase 3: A\n- [ ] T003 c\n")
        assert [(phase.title, phase.line) for phase in plan.phases] == [
            ("Phase 9: B", 1),
            ("Phase 3: A", 3),
            ("Phase 3: A", 5),
        ]
        assert plan.next_phase is not None
        assert plan.next_phase.line == 1

    @pytest.mark.parametrize(
        ("title", "number"),
        [
            ("Phase 3.1: Setup", "3.1"),
            ("🎯 Phase 2: X", "2"),
            ("✅ **Phase 2a** X", "2a"),
            ("Phase N: Polish", "N"),
            ("Phase IV - X", "IV"),
            ("Fase 2: Pruebas", "2"),
            ("Этап 3. Тесты", "3"),
            ("第3階段：測試", "3"),
            ("阶段1：准备", "1"),
            ("フェーズ 2: 実装", "2"),
            ("Final Phase: Polish", None),
            ("Phase: Rendering", None),
        ],
    )
    def test_titles_of_phases(self, title: str, number: str | None) -> None:
        plan = plan_of(f"# T\n## {title}\n- [x] T001 a\n## Notes\n- [ ] CHK001 b\n- [ ] CHK002 b\n")
        assert [(phase.title, phase.number) for phase in plan.phases] == [(title, number)]

    @pytest.mark.parametrize("title", ["Phases", "PHASES", "Phase Dependencies", "Early-Phase Passes", "Setup Phase"])
    def test_titles_that_only_talk_about_phases(self, title: str) -> None:
        plan = plan_of(f"## {title}\n### Phase 1: A\n- [ ] T001 a\n")
        assert titles(plan) == ["Phase 1: A"]

    def test_closing_hashes_are_no_part_of_a_title(self) -> None:
        assert titles(plan_of("## Phase 1: C# ##\n- [ ] T001 a\n")) == ["Phase 1: C#"]


class TestMarkdown:
    @pytest.mark.parametrize(
        "hidden",
        [
            "```\n{}\n```\n",
            "~~~ text\n{}\n~~~~\n",
            "````md\n```\n{}\n````\n",
            "<!-- {} -->\n",
            "<!--\n{}\n-->\n",
            "> {}\n",
            "\n    {}\n",
            "- item\n  ```\n  {}\n  ```\n",
        ],
    )
    def test_tasks_that_are_only_shown_are_none(self, hidden: str) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A\n\nText\n\n" + hidden.format("- [ ] T002 B") + "\n- [ ] T003 C\n")
        assert ids(plan) == ["T001", "T003"]

    def test_a_fence_ends_with_its_list_item(self) -> None:
        plan = plan_of("## Phase 1\n- [ ] T001 A\n  ```\n  code\n- [ ] T002 B\n")
        assert ids(plan) == ["T001", "T002"]

    def test_front_matter_is_no_text(self) -> None:
        plan = plan_of("---\ntitle: x\n- [ ] T009 no\n---\n## Phase 1\n- [ ] T001 A\n")
        assert ids(plan) == ["T001"]

    def test_a_fence_around_the_whole_file_is_passed_over(self) -> None:
        plan = plan_of("```markdown\n# Tasks\n## Phase 1\n- [ ] T001 A\n```\n")
        assert ids(plan) == ["T001"]
        assert warned(plan, "line 1 opens a code fence around the whole file")

    def test_a_sample_at_the_top_is_not_taken_for_that(self) -> None:
        plan = plan_of("```markdown\n- [ ] T000 sample\n```\n## Phase 1\n- [ ] T001 A\n")
        assert ids(plan) == ["T001"]
        assert plan.warnings == ()

    def test_tasks_below_a_task_are_tasks_and_no_notes(self) -> None:
        plan = plan_of("## Phase 1\n- [ ] T001 A\n  note\n  - [ ] T001a B\n    its note\n  - [ ] check\n")
        assert [(task.id, task.notes) for task in plan.tasks] == [
            ("T001", ("note", "- [ ] check")),
            ("T001a", ("its note",)),
        ]

    def test_a_finished_task_with_an_open_check_is_warned_about(self) -> None:
        plan = plan_of("## Phase 1\n- [x] T001 A\n  - [ ] check\n")
        assert warned(plan, "1 task done although a checkbox below is open (line 2)")

    def test_rows_of_tables_are_no_tasks(self) -> None:
        plan = plan_of("## Phase 1\n| Id | Task |\n|---|---|\n| T002 | [ ] B |\n\n- [x] T001 A\n")
        assert ids(plan) == ["T001"]


class TestBytes:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("encode", ["utf-8", "utf-8-sig", "utf-16"])
    def test_line_ends_and_encodings(self, end: str, encode: str) -> None:
        plan = read_plan(f"# T{end}## Phase 1: Ä{end}{end}- [ ] T001 B{end}".encode(encode))
        assert titles(plan) == ["Phase 1: Ä"]
        assert [task.line for task in plan.tasks] == [4]

    def test_stray_bytes_are_shown_as_such_and_named(self) -> None:
        plan = read_plan(b"## Phase 1: \xff\n- [ ] T001 \xe9\n")
        assert titles(plan) == ["Phase 1: �"]
        assert warned(plan, "some bytes are not UTF-8 (lines 1, 2)")
        json.dumps(plan_report(plan)).encode()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "it is empty"),
            (b"\n\n  \n", "it is empty"),
            (b"## Phase 1\n- [ ] T001 \x00\n", "line 2 holds a NUL character"),
            ("## Phase 1\n- [ ] T001 A\n".encode("utf-16-le"), "NUL character"),
            (b"\xff\xfea", "UTF-16"),
            (b"x" * (MAX_BYTES + 1), "2,097,153 bytes"),
            (b"\n" * (MAX_LINES + 1), "lines"),
            (b"- [ ] T1\n" * (MAX_LINES + 1), "lines"),
            (b"- [ ] T001 " + b"x" * 10_000_000, "bytes"),
        ],
    )
    def test_what_is_no_task_list_is_unreadable_with_a_reason(self, content: bytes, reason: str) -> None:
        plan = read_plan(content)
        assert plan.status is PlanStatus.UNREADABLE
        assert reason in plan.reason

    def test_the_number_of_warnings_has_a_limit(self) -> None:
        doubled = "".join(f"- [ ] T{number:04} a\n" * 2 for number in range(500))
        assert len(plan_of("## Phase 1\n" + doubled).warnings) < 30


class TestSelection:
    PLAN = (
        "## Phase 1: Setup\n- [x] T001 a\n## Phase 3: A\n- [ ] T002 b\n"
        "## Phase 3: B\n- [ ] T003 c\n## Extra\n- [ ] T004 d\n"
    )

    @pytest.mark.parametrize(
        ("selector", "line"),
        [
            ("Phase 1: Setup", 1),
            ("phase 1:  SETUP", 1),
            ("## Phase 1: Setup", 1),
            ("1", 1),
            ("Phase 1", 1),
            ("Phase 3: B", 5),
            ("5", 5),
            ("line 3", 3),
            ("extra", 7),
        ],
    )
    def test_of_a_phase_by_title_number_or_line(self, selector: str, line: int) -> None:
        assert select_phase(plan_of(self.PLAN), selector).line == line

    @pytest.mark.parametrize(
        ("selector", "words"),
        [
            ("Phase 7", "is not there. The phases are: line 1: Phase 1: Setup; line 3: Phase 3: A"),
            ("3", "fits more than one; select it by its heading line"),
            ("2", "is not there"),
            ("", "is not there"),
        ],
    )
    def test_of_no_or_several_phases_names_what_there_is(self, selector: str, words: str) -> None:
        with pytest.raises(WorkflowError) as caught:
            select_phase(plan_of(self.PLAN), selector)
        assert caught.value.code is FailureCode.PHASE_NOT_FOUND
        assert words in caught.value.detail

    def test_of_tasks_by_id_or_line(self) -> None:
        [phase] = plan_of("## Phase 1\n- [ ] T001 a\n- [ ] T002 b\n- [x] T003 c\n").phases
        assert [task.id for task in select_tasks(phase, ["t002", "2"])] == ["T001", "T002"]

    def test_of_tasks_that_are_not_open_says_why(self) -> None:
        [phase] = plan_of("## Phase 1\n- [ ] T001 a\n- [x] T003 c\n").phases
        with pytest.raises(WorkflowError) as caught:
            select_tasks(phase, ["T001", "T003", "T999"])
        assert caught.value.code is FailureCode.TASK_NOT_OPEN
        assert "T003 is done (line 3)" in caught.value.detail
        assert "T999 is not in this phase" in caught.value.detail
        assert "Open are: T001" in caught.value.detail


class TestSlices:
    @staticmethod
    def phase_with(*sizes: int) -> str:
        text = "## Phase 1\n"
        for section, size in enumerate(sizes):
            text += f"### Part {section}\n" + "".join(f"- [ ] T{section}{n:03} x\n" for n in range(size))
        return text

    @pytest.mark.parametrize(
        ("sizes", "limit", "expected"),
        [((10, 15), 25, 25), ((10, 16), 25, 10), ((30, 2), 25, 25), ((5, 5, 20), 25, 10), ((3,), 1, 1)],
    )
    def test_take_whole_sub_sections_in_order(self, sizes: tuple[int, ...], limit: int, expected: int) -> None:
        [phase] = plan_of(self.phase_with(*sizes)).phases
        assert next_slice(phase, limit) == phase.open_tasks[:expected]

    def test_need_room_for_a_task(self) -> None:
        [phase] = plan_of(self.phase_with(3)).phases
        with pytest.raises(ValueError, match="at least one"):
            next_slice(phase, 0)
