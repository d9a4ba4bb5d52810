"""Apply brings the patch onto a clean tree and ticks, in its own hand, what the agent reported."""

import json
from datetime import timedelta

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.outcomes import Ended, Parked
from moonmind.domain.patch_policy import POLICY_FILE
from moonmind.domain.ports import AgentReport, Collected, NotReady
from moonmind.domain.results import Applied
from moonmind.testing.agents import ScriptedAgent, ScriptedRemoteAgent, ScriptedWork
from moonmind.testing.unified_diffs import File, write_patch
from tests.repositories import TASKS
from tests.unit.stages.desk import TASKS_PATH, Desk, Script, failure, refused, result_of, tick_in

GREETING = write_patch({}, {"greeting.txt": File(b"hello\n")})


def applied(desk: Desk, script: Script) -> Applied:
    desk.agent = ScriptedAgent(script)
    return result_of(desk.apply(*desk.ready_to_apply()), Applied)


def ids(result: Applied) -> tuple[list[str | None], list[str | None]]:
    return [task.id for task in result.ticked], [task.id for task in result.left_open]


def final_patch(desk: Desk) -> str:
    return desk.text("final.patch")


class TestTicking:
    def test_follows_the_agents_report(self, planned: Desk) -> None:
        def work(agent: ScriptedWork) -> None:
            agent.write("greeting.txt", "hello\n")
            tick_in(agent, "T002")

        result = applied(planned, work)
        assert (ids(result), result.unverified) == ((["T002"], ["T003"]), False)

    def test_is_of_submitted_tasks_alone(self, planned: Desk) -> None:
        def work(agent: ScriptedWork) -> None:
            agent.write("greeting.txt", "hello\n")
            tick_in(agent, "T003", "T004")

        assert ids(applied(planned, work)) == (["T003"], ["T002"])
        assert "+- [x] T004" not in final_patch(planned)

    def test_without_a_report_takes_all_on_trust_and_says_so(self, planned: Desk) -> None:
        result = applied(planned, lambda agent: agent.write("greeting.txt", "hello\n"))
        assert (ids(result), result.unverified) == ((["T002", "T003"], []), True)

    def test_of_none_of_the_submitted_tasks_is_a_report_too(self, planned: Desk) -> None:
        def work(agent: ScriptedWork) -> None:
            agent.write("greeting.txt", "hello\n")
            tick_in(agent, "T004")

        result = applied(planned, work)
        assert (ids(result), result.unverified) == (([], ["T002", "T003"]), False)
        assert [change.path for change in result.files] == ["greeting.txt"]

    def test_leaves_out_whatever_else_the_agent_did_to_the_task_file(self, planned: Desk) -> None:
        def work(agent: ScriptedWork) -> None:
            agent.write("greeting.txt", "hello\n")
            text = agent.read(TASKS_PATH).decode().replace("# Tasks: Habits", "# My tasks") + "\n- [x] T099 Mine\n"
            agent.write(TASKS_PATH, text.replace("[ ] T002 [P] Write", "[x] T002 Rewrite"))

        assert ids(applied(planned, work)) == (["T002"], ["T003"])
        lines = [line for line in final_patch(planned).splitlines() if line[:1] in "+-" and "T0" in line]
        assert lines == [
            "-- [ ] T002 [P] Write the greeting in greeting.txt",
            "+- [x] T002 [P] Write the greeting in greeting.txt",
        ]
        assert "My tasks" not in final_patch(planned)

    def test_does_not_miss_a_task_file_that_the_agent_removed(self, planned: Desk) -> None:
        def work(agent: ScriptedWork) -> None:
            agent.write("greeting.txt", "hello\n")
            (agent._tree / TASKS_PATH).unlink()

        result = applied(planned, work)
        assert (ids(result), result.unverified) == ((["T002", "T003"], []), True)
        assert "deleted file" not in final_patch(planned)

    def test_alone_is_a_change_that_a_reviewer_can_judge(self, planned: Desk) -> None:
        result = applied(planned, lambda agent: tick_in(agent, "T002"))
        assert (ids(result), [change.path for change in result.files]) == ((["T002"], ["T003"]), [TASKS_PATH])

    def test_never_trusts_an_agent_that_only_reworded_the_task_file(self, planned: Desk) -> None:
        """It reported nothing and did nothing, and yet all its tasks were once ticked."""

        def work(agent: ScriptedWork) -> None:
            agent.write(TASKS_PATH, agent.read(TASKS_PATH).decode().replace("Habits", "Routines"))

        planned.agent = ScriptedAgent(work)
        assert failure(planned.apply(*planned.ready_to_apply())) is FailureCode.AGENT_NO_CHANGE


class TestResult:
    def test_counts_files_and_lines_and_is_there_to_read(self, planned: Desk) -> None:
        result = result_of(planned.apply(*planned.ready_to_apply()), Applied)
        assert [(change.path, change.status) for change in result.files] == [("greeting.txt", "A"), (TASKS_PATH, "M")]
        assert (result.insertions, result.deletions) == (2, 1)
        summary = json.loads(planned.text("apply_output.json"))
        assert (summary["ticked"], summary["leftOpen"], summary["unverified"]) == (["T002"], ["T003"], False)
        assert [file["path"] for file in summary["files"]] == ["greeting.txt", TASKS_PATH]

    def test_is_the_same_again(self, planned: Desk) -> None:
        ready = planned.ready_to_apply()
        first, second = (result_of(planned.apply(*ready), Applied) for _ in range(2))
        assert (first.tree_id, first.final_patch.sha256) == (second.tree_id, second.final_patch.sha256)

    def test_needs_the_patch_as_it_was_stored(self, planned: Desk) -> None:
        found, submitted = planned.ready_to_apply()
        assert submitted.patch is not None
        planned.store.damage(submitted.patch, GREETING)
        assert refused(lambda: planned.apply(found, submitted)) is FailureCode.ARTIFACT_DIGEST_MISMATCH


class TestPolicy:
    def test_of_the_operator_holds(self, planned: Desk) -> None:
        planned.agent = ScriptedAgent(lambda work: work.write(".github/workflows/ci.yml", "on: push\n"))
        ready = planned.ready_to_apply()
        with pytest.raises(WorkflowError, match=r"\.github/workflows/ci\.yml") as raised:
            planned.apply(*ready)
        assert raised.value.code is FailureCode.PATCH_REFUSED

    def test_of_the_repository_takes_more_away(self, desk: Desk) -> None:
        desk.plan(more={POLICY_FILE: b'[patch]\nprotected_paths = ["greeting.txt"]\n'})
        ready = desk.ready_to_apply()
        assert refused(lambda: desk.apply(*ready)) is FailureCode.PATCH_REFUSED

    def test_of_the_repository_bounds_the_patch_itself(self, desk: Desk) -> None:
        desk.plan(more={POLICY_FILE: b"[patch]\nmax_bytes = 100\n"})
        ready = desk.ready_to_apply()
        assert refused(lambda: desk.apply(*ready)) is FailureCode.PATCH_TOO_LARGE

    def test_of_the_repository_gives_nothing_and_its_wish_is_reported(self, desk: Desk) -> None:
        desk.plan(more={POLICY_FILE: b"[patch]\nmax_files = 999999\n"})
        result = result_of(desk.apply(*desk.ready_to_apply()), Applied)
        assert len(result.warnings) == 1
        assert "max_files" in result.warnings[0]
        assert json.loads(desk.text("apply_output.json"))["warnings"] == list(result.warnings)

    def test_that_cannot_be_read_stops_the_run(self, desk: Desk) -> None:
        desk.plan(more={POLICY_FILE: b"[patch\n"})
        ready = desk.ready_to_apply()
        assert refused(lambda: desk.apply(*ready)) is FailureCode.POLICY_FILE_INVALID


class TestConflict:
    def test_is_kept_and_names_its_files(self, desk: Desk) -> None:
        desk.plan(more={"greeting.txt": b"good morning\n"})
        found, submitted = desk.ready_to_apply()
        other_base = write_patch({"greeting.txt": File(b"good evening\n")}, {"greeting.txt": File(b"hello\n")})
        stored = desk.artifacts.put("codex_patch", "other.patch", other_base)
        submitted = type(submitted)(**{**vars(submitted), "patch": stored})

        ended = desk.apply(found, submitted)

        assert failure(ended) is FailureCode.PATCH_CONFLICT
        assert isinstance(ended, Ended)
        assert ended.facts == {"conflicts": ["greeting.txt"]}
        assert "good evening" in desk.text("conflict.diff")
        assert desk.stored("apply_output") == []


class TestRemoteAgent:
    @pytest.fixture
    def remote(self, planned: Desk) -> ScriptedRemoteAgent:
        """An agent that works elsewhere."""
        planned.agent = ScriptedRemoteAgent()
        return planned.agent

    def test_still_at_work_parks_the_stage(self, planned: Desk, remote: ScriptedRemoteAgent) -> None:
        remote.answers = {"task-1": NotReady(timedelta(seconds=30))}
        parked = planned.apply(*planned.ready_to_apply())
        assert isinstance(parked, Parked)
        assert parked.after == timedelta(seconds=30)

    def test_that_is_done_hands_over_its_patch(self, planned: Desk, remote: ScriptedRemoteAgent) -> None:
        remote.answers = {"task-1": Collected(GREETING, AgentReport())}
        result = result_of(planned.apply(*planned.ready_to_apply()), Applied)
        assert planned.store.read(result.patch) == GREETING
        assert result.unverified

    def test_that_delivers_a_secret_has_it_hidden(self, planned: Desk, remote: ScriptedRemoteAgent) -> None:
        secret = b"ghp_" + b"aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
        patch = write_patch({}, {"key.txt": File(secret + b"\n")})
        remote.answers = {"task-1": Collected(patch, AgentReport())}
        ready = planned.ready_to_apply()
        assert refused(lambda: planned.apply(*ready)) is FailureCode.PATCH_REFUSED
        assert secret.decode() not in planned.text("codex.patch.redacted")

    @pytest.mark.parametrize(
        ("words", "code"),
        [("", FailureCode.AGENT_NO_CHANGE), ("Which colour?", FailureCode.AGENT_NEEDS_INPUT)],
    )
    def test_that_delivers_nothing_ends_the_run(
        self, planned: Desk, remote: ScriptedRemoteAgent, words: str, code: FailureCode
    ) -> None:
        remote.answers = {"task-1": Collected(b"\n", AgentReport(last_message=words))}
        assert failure(planned.apply(*planned.ready_to_apply())) is code

    def test_that_delivers_no_patch_is_told_apart(self, planned: Desk, remote: ScriptedRemoteAgent) -> None:
        remote.answers = {"task-1": Collected(b"I did it!\n", AgentReport())}
        ready = planned.ready_to_apply()
        assert refused(lambda: planned.apply(*ready)) is FailureCode.PATCH_UNREADABLE

    def test_that_failed_says_why(self, planned: Desk, remote: ScriptedRemoteAgent) -> None:
        remote.answers = {"task-1": WorkflowError(FailureCode.AGENT_FAILED, "It was stopped.")}
        ready = planned.ready_to_apply()
        assert refused(lambda: planned.apply(*ready)) is FailureCode.AGENT_FAILED


def test_a_tick_changes_one_character_whatever_the_line_ends(desk: Desk) -> None:
    desk.plan(TASKS.replace("\n", "\r\n"))
    result_of(desk.apply(*desk.ready_to_apply()), Applied)
    added = [line for line in final_patch(desk).splitlines(keepends=True) if line.startswith("+- ")]
    assert added == ["+- [x] T002 [P] Write the greeting in greeting.txt\r\n"]
