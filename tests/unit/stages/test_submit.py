"""Submission hands the tasks to the agent once, and keeps what it says and does."""

import pytest

from moonmind.domain.errors import CancelRecordedError, StaleClaimError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import SubmissionIntent
from moonmind.domain.results import Discovered, Submitted
from moonmind.testing.agents import ScriptedAgent, ScriptedRemoteAgent, ScriptedWork
from tests.unit.stages.desk import Desk, failure, refused, result_of

SECRET = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"


@pytest.fixture
def found(planned: Desk) -> Discovered:
    """What was discovered."""
    return result_of(planned.discover(), Discovered)


class TestLocalAgent:
    def test_leaves_prompt_log_and_patch(self, planned: Desk, found: Discovered) -> None:
        def work_and_say(work: ScriptedWork) -> None:
            work.write("greeting.txt", "hello\n")
            work.say("Done.")

        planned.agent = ScriptedAgent(work_and_say)
        submitted = result_of(planned.submit(found), Submitted)
        assert "T002" in planned.text("prompt.md")
        assert "Done." in planned.text("codex_logs.jsonl")
        assert "+hello" in planned.text("codex.patch")
        assert (submitted.exit_code, submitted.last_message) == (0, "Done.")
        assert (submitted.prompt, submitted.logs, submitted.patch) == planned.artifacts.recorded

    def test_works_in_a_tree_that_is_gone_afterwards(self, planned: Desk, found: Discovered) -> None:
        planned.submit(found)
        assert not any((planned.folder / "trees").iterdir())

    def test_is_known_before_it_starts(self, planned: Desk, found: Discovered) -> None:
        submitted = result_of(planned.submit(found), Submitted)
        (intent,) = planned.guard.intents
        assert intent == SubmissionIntent("command", submitted.marker, found.base_sha, submitted.marker)
        assert planned.guard.handles[submitted.marker].pid

    def test_reads_the_notes_and_why_it_is_tried_again(self, planned: Desk, found: Discovered) -> None:
        planned.submit(found, notes="Use a table.", retry_reason="patch_conflict: it moved")
        prompt = planned.text("prompt.md")
        assert "Use a table." in prompt
        assert "patch_conflict: it moved" in prompt


class TestNoPatch:
    def test_after_no_change_ends_the_run_with_its_words(self, planned: Desk, found: Discovered) -> None:
        planned.agent = ScriptedAgent(lambda work: work.say("Nothing to do."))
        ended = planned.submit(found)
        assert failure(ended) is FailureCode.AGENT_NO_CHANGE
        assert "Nothing to do." in str(ended)
        assert planned.stored("codex_logs")

    def test_after_a_question_asks_the_operator(self, planned: Desk, found: Discovered) -> None:
        planned.agent = ScriptedAgent(lambda work: work.say("Which colour?"))
        assert failure(planned.submit(found)) is FailureCode.AGENT_NEEDS_INPUT

    def test_of_an_agent_that_failed_keeps_its_log(self, planned: Desk, found: Discovered) -> None:
        def fail(work: ScriptedWork) -> int:
            work.say("No.")
            return 3

        planned.agent = ScriptedAgent(fail)
        assert refused(lambda: planned.submit(found)) is FailureCode.AGENT_FAILED
        assert "No." in planned.text("codex_logs.jsonl")
        assert not any((planned.folder / "trees").iterdir())


class TestPatch:
    def test_with_a_secret_is_never_stored_as_it_is(self, planned: Desk, found: Discovered) -> None:
        def leak(work: ScriptedWork) -> None:
            work.write("settings.py", f"A = 1\nTOKEN = '{SECRET}'\n")
            work.write("greeting.txt", "hello\n")

        planned.agent = ScriptedAgent(leak)
        assert refused(lambda: planned.submit(found)) is FailureCode.PATCH_REFUSED
        assert [artifact.name for artifact in planned.stored("codex_patch")] == ["codex.patch.redacted"]
        kept = planned.text("codex.patch.redacted")
        assert "settings.py" in kept
        assert "+hello" in kept
        everything = [planned.store.read(artifact) for artifact in planned.artifacts.recorded]
        assert not any(SECRET.encode() in content for content in everything)

    def test_with_a_secret_of_this_service_neither(self, planned: Desk, found: Discovered) -> None:
        planned.policy = PatchPolicy(known_secrets=("correct horse",))
        planned.agent = ScriptedAgent(lambda work: work.write("notes.txt", "it is correct horse\n"))
        assert refused(lambda: planned.submit(found)) is FailureCode.PATCH_REFUSED
        assert "correct horse" not in planned.text("codex.patch.redacted")

    def test_that_is_too_large_to_be_searched_is_not_kept_to_the_byte(self, planned: Desk, found: Discovered) -> None:
        planned.policy = PatchPolicy(max_bytes=10)
        assert refused(lambda: planned.submit(found)) is FailureCode.PATCH_TOO_LARGE
        assert [artifact.name for artifact in planned.stored("codex_patch")] == ["codex.patch.redacted"]

    def test_that_breaks_another_rule_is_left_to_the_apply_stage(self, planned: Desk, found: Discovered) -> None:
        planned.agent = ScriptedAgent(lambda work: work.write(".github/workflows/ci.yml", "on: push\n"))
        submitted = result_of(planned.submit(found), Submitted)
        assert submitted.patch is not None
        assert "+on: push" in planned.text("codex.patch")


class TestRemoteAgent:
    def test_takes_the_work_without_a_tree(self, planned: Desk, found: Discovered) -> None:
        planned.agent = ScriptedRemoteAgent()
        submitted = result_of(planned.submit(found), Submitted)
        assert (submitted.task_id, submitted.patch, submitted.logs) == ("task-1", None, None)
        assert not (planned.folder / "trees").exists()


class TestRefusal:
    @pytest.mark.parametrize("broken", ["agent", "forge"])
    def test_by_credentials_comes_before_the_agent(self, planned: Desk, found: Discovered, broken: str) -> None:
        agent = ScriptedAgent(lambda _work: None, unusable_because="It is gone." if broken == "agent" else None)
        planned.agent = agent
        if broken == "forge":
            planned.forge.refuse_credentials("The token is expired.")
        wanted = FailureCode.AGENT_UNAVAILABLE if broken == "agent" else FailureCode.FORGE_UNAVAILABLE
        assert refused(lambda: planned.submit(found)) is wanted
        assert (agent.submitted, planned.guard.intents) == ([], [])
        assert planned.credentials.verdicts

    def test_by_a_cancel_comes_before_the_agent(self, planned: Desk, found: Discovered) -> None:
        planned.guard.cancel()
        with pytest.raises(CancelRecordedError):
            planned.submit(found)
        assert not (planned.folder / "trees").exists()

    def test_of_a_lost_lease_kills_the_agent_and_stores_nothing_of_it(self, planned: Desk, found: Discovered) -> None:
        def lose(work: ScriptedWork) -> None:
            work.write("greeting.txt", "hello\n")
            planned.lease.lose()

        planned.agent = ScriptedAgent(lose)
        with pytest.raises(StaleClaimError):
            planned.submit(found)
        assert planned.stored("codex_patch") == []
        assert not any((planned.folder / "trees").iterdir())
