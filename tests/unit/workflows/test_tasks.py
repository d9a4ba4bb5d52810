"""The five registered tasks, delivered one by one, leave everything an operator asks for in the database."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api_service.db.session import Database
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import AgentReport, Collected, NotReady
from moonmind.domain.states import STAGES, RetryMode, RunStatus, Stage, StageStatus
from moonmind.testing.agents import ScriptedAgent, ScriptedRemoteAgent, ScriptedWork
from moonmind.testing.unified_diffs import File, write_patch
from moonmind.workflows import cancel_spec_workflow_run
from moonmind.workflows.speckit_celery.services import StageTiming
from moonmind.workflows.speckit_celery.slots import AgentSlots
from tests.repositories import TASKS
from tests.unit.stages.desk import BRANCH, REPOSITORY, TASKS_PATH, Desk, greet
from tests.unit.workflows.line import ENDED, PASSED, InterruptedForge, Line

SECRET = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """A database with the schema of this version."""
    database = Database(sqlite_url)
    yield database
    database.dispose()


@pytest.fixture
def forge() -> InterruptedForge:
    """A forge during whose answers something may happen."""
    return InterruptedForge()


@pytest.fixture
def desk(tmp_path: Path, forge: InterruptedForge) -> Desk:
    """Fakes over a repository with an open phase."""
    desk = Desk(tmp_path, forge=forge)
    desk.plan()
    return desk


@pytest.fixture
def line(database: Database, desk: Desk) -> Line:
    """A worker with a run to do."""
    return Line(database, desk)


def scripted(line: Line, agent: ScriptedAgent) -> ScriptedAgent:
    line.use(agents={"command": agent})
    return agent


def submissions(line: Line) -> int:
    agent = line.services.agents["command"]
    assert isinstance(agent, ScriptedAgent)
    return len(agent.submitted)


@dataclass
class Finished:
    """A run that went through, and what became of its messages; the tests of a class only look at it."""

    line: Line
    ends: list[str]


@pytest.fixture(scope="class")
def finished(_migrated_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A run without faults."""

    def work(agent: ScriptedWork) -> None:
        greet(agent)
        agent.say("Done.")

    folder = tmp_path_factory.mktemp("finished")
    database = Database(f"sqlite:///{shutil.copy(_migrated_sqlite_file, folder / 'moonmind.db')}")
    desk = Desk(folder, agent=ScriptedAgent(work))
    desk.plan()
    line = Line(database, desk)
    yield Finished(line, line.deliver_all())
    database.dispose()


class TestFaultlessRun:
    def test_passes_from_task_to_task_and_ends_with_the_last(self, finished: Finished) -> None:
        assert finished.ends == [PASSED] * 4 + [ENDED]
        run = finished.line.read()
        assert (run.status, run.phase, run.outcome) == ("succeeded", "complete", "pull_request_created")
        assert [task.status for task in run.tasks] == ["succeeded"] * 5
        assert run.started_at is not None
        assert run.finished_at is not None
        assert run.created_at <= run.started_at <= run.finished_at

    def test_tells_what_was_found_and_made(self, finished: Finished) -> None:
        run, (request,) = finished.line.read(), finished.line.desk.forge.opened
        assert (run.feature_dir, run.base_sha) == ("specs/001-habits", finished.line.desk.forge.tip(REPOSITORY, "main"))
        assert run.selected_phase is not None
        assert run.selected_phase.task_ids == ["T002", "T003"]
        assert (run.branch_name, run.commit_sha) == (BRANCH, finished.line.desk.forge.tip(REPOSITORY, BRANCH))
        assert (run.pr_number, run.pr_url) == (request.number, request.url)
        assert (run.codex_logs_path is None, run.codex_patch_path is None) == (False, False)

    def test_times_every_stage(self, finished: Finished) -> None:
        for task in finished.line.read().tasks:
            assert task.started_at is not None
            assert task.finished_at is not None
            assert task.started_at <= task.finished_at
            assert task.payload["durationMs"] >= 0

    @pytest.mark.parametrize(
        ("stage", "names"),
        [
            (Stage.DISCOVER, "feature phase taskIds counts baseSha tasksSha256 warnings"),
            (Stage.SUBMIT, "agent version taskId taskUrl usage exitCode failedCommands"),
            (Stage.APPLY, "files insertions deletions ticked unverified conflicts warnings"),
            (Stage.PUBLISH, "branch commitSha prNumber prUrl outcome"),
            (Stage.FINALIZE, "outcome artifactIds"),
        ],
    )
    def test_has_a_payload_for_each_stage(self, finished: Finished, stage: Stage, names: str) -> None:
        payload = finished.line.task(stage).payload
        assert set(names.split()) - payload.keys() == set()
        assert payload["result"] == "succeeded"

    def test_keeps_every_artifact_with_its_digest(self, finished: Finished) -> None:
        artifacts = finished.line.read().artifacts
        assert {artifact.artifact_type for artifact in artifacts} == {
            *("discovery_snapshot", "prompt", "codex_logs", "codex_patch", "apply_output"),
            *("gh_push_log", "pr_payload", "gh_pr_response", "run_summary"),
        }
        assert all(artifact.digest.startswith("sha256:") and artifact.size_bytes > 0 for artifact in artifacts)
        assert set(finished.line.task(Stage.SUBMIT).artifact_paths) <= {artifact.path for artifact in artifacts}

    def test_keeps_every_credential_check(self, finished: Finished) -> None:
        audits = finished.line.read().credential_audit
        assert [(audit.subject, audit.status) for audit in audits] == [
            *(("command", "passed"), ("memory", "passed"), ("memory", "passed")),
        ]
        assert all(audit.environment["worker"] == "codex-tests-1" for audit in audits)

    def test_tells_each_step_as_an_event(self, finished: Finished) -> None:
        steps = [(stage.value, status) for stage in STAGES for status in ("running", "succeeded")]
        assert finished.line.events() == [(None, "pending"), (None, "running"), *steps, (None, "succeeded")]

    def test_is_counted_and_timed(self, finished: Finished) -> None:
        assert [sample.stage for sample in finished.line.metrics.named("started")] == list(STAGES)
        ended = finished.line.metrics.named("ended")
        assert [(sample.stage, sample.status) for sample in ended] == [(stage, "success") for stage in STAGES]
        assert all(sample.seconds is not None and sample.seconds >= 0 for sample in ended)
        assert finished.line.metrics.named("retried") == []


class TestSecondDelivery:
    def test_of_every_stage_has_one_effect(self, line: Line) -> None:
        for stage in STAGES[:-1]:
            assert [line.deliver(stage), line.deliver(stage)] == [PASSED, PASSED]
        assert [line.deliver(Stage.FINALIZE), line.deliver(Stage.FINALIZE)] == [ENDED, PASSED]
        assert (submissions(line), len(line.desk.workspace.pushed), len(line.desk.forge.opened)) == (1, 1, 1)
        assert [row.token for row in map(line.stage, STAGES)] == [1] * 5

    def test_while_the_first_is_at_work_ends_its_copy(self, line: Line) -> None:
        ends: list[str] = []

        def work(agent: ScriptedWork) -> None:
            greet(agent)
            ends.append(line.deliver(Stage.SUBMIT))

        scripted(line, ScriptedAgent(work))
        line.use(slots=AgentSlots(2, freed=lambda: None))
        assert line.deliver_all()[-1] is ENDED
        assert ends == [ENDED]
        assert (submissions(line), line.read().status) == (1, "succeeded")

    def test_before_its_turn_starts_nothing(self, line: Line) -> None:
        assert line.deliver(Stage.PUBLISH) is ENDED
        assert line.stage(Stage.PUBLISH).status == StageStatus.QUEUED

    def test_after_a_crash_does_the_stage_again(self, line: Line) -> None:
        lives: list[int] = []

        def die_once(work: ScriptedWork) -> None:
            lives.append(1)
            greet(work)
            if len(lives) == 1:
                raise KeyboardInterrupt

        scripted(line, ScriptedAgent(die_once))
        with pytest.raises(KeyboardInterrupt):
            line.deliver_all()
        assert line.stage(Stage.SUBMIT).status == StageStatus.RUNNING

        assert line.take_over()

        assert line.deliver_all()[-1] is ENDED
        assert (line.read().status, line.task(Stage.SUBMIT).payload["crashes"]) == ("succeeded", 1)
        assert len(line.desk.forge.opened) == 1


class TestLostStage:
    def test_leaves_nothing_of_its_old_holder(self, line: Line) -> None:
        def lose(work: ScriptedWork) -> None:
            greet(work)
            line.take_over(crashed=False)
            line.claim_elsewhere(Stage.SUBMIT)

        scripted(line, ScriptedAgent(lose))
        assert line.deliver_all() == [PASSED, ENDED]
        row = line.stage(Stage.SUBMIT)
        assert (row.status, row.owner, row.token, row.result) == (StageStatus.RUNNING, "worker-b", 2, None)
        assert line.content("codex_patch") == []
        assert line.events()[-1] == ("submit", "running")
        assert line.metrics.named("ended")[-1].status == "stale"

    def test_pushes_nothing(self, line: Line, forge: InterruptedForge) -> None:
        def lose() -> None:
            line.take_over(crashed=False)
            line.claim_elsewhere(Stage.PUBLISH)

        line.deliver_all(STAGES[:3])
        forge.happening = lose
        assert line.deliver(Stage.PUBLISH) is ENDED
        assert (line.desk.workspace.pushed, forge.opened) == ([], [])
        assert line.row().status == RunStatus.RUNNING


class TestFailure:
    def test_ends_the_run_with_code_remedy_and_skipped_stages(self, line: Line) -> None:
        scripted(line, ScriptedAgent(lambda work: work.say("Nothing to do.")))
        assert line.deliver_all() == [PASSED, ENDED]
        run = line.read()
        assert run.failure is not None
        assert (run.status, run.failure.code, run.failure.stage) == ("failed", "agent_no_change", "submit")
        assert str(run.id) in run.failure.remedy
        assert [task.status for task in run.tasks] == ["succeeded", "failed", *["skipped"] * 3]
        assert line.content("run_summary")
        assert b"Nothing to do." in line.content("codex_logs")[0]
        assert line.metrics.named("ended")[-1].status == "failure"

    def test_that_is_a_bug_keeps_traceback_and_log(self, line: Line) -> None:
        def stumble(work: ScriptedWork) -> None:
            work.say("So far so good.")
            raise ZeroDivisionError

        scripted(line, ScriptedAgent(stumble))
        with capture_logs() as logs:
            assert line.deliver_all() == [PASSED, ENDED]
        failure = line.read().failure
        assert failure is not None
        assert failure.code == "stage_failed_unexpectedly"
        assert "ZeroDivisionError" in failure.message
        assert b"So far so good." in line.content("codex_logs")[0]
        (entry,) = [entry for entry in logs if entry["event"] == "stage_failed_unexpectedly"]
        assert entry["exc_info"]

    def test_of_a_patch_that_does_not_fit_names_the_files(self, line: Line) -> None:
        patch = write_patch({"a.txt": File(b"their a\n")}, {"a.txt": File(b"new a\n")})
        answers = {"task-1": Collected(patch, AgentReport())}
        line.use(agents={"command": ScriptedRemoteAgent(answers, name="command")})
        line.desk.commit("main", {"a.txt": b"our a\n"})
        assert line.deliver_all() == [PASSED, PASSED, ENDED]
        payload = line.task(Stage.APPLY).payload
        assert (payload["code"], payload["conflicts"]) == ("patch_conflict", ["a.txt"])
        assert b"their a" in line.content("conflict")[0]

    def test_of_the_credentials_is_audited_and_comes_before_the_agent(self, line: Line) -> None:
        agent = scripted(line, ScriptedAgent(greet, unusable_because="It is gone."))
        assert line.deliver_all() == [PASSED, ENDED]
        run = line.read()
        assert run.failure is not None
        assert run.failure.code == "agent_unavailable"
        (audit,) = run.credential_audit
        assert (audit.status, audit.message, bool(audit.remedy)) == ("failed", "It is gone.", True)
        assert agent.submitted == []


@dataclass
class Outage:
    """A database whose folder can be moved away, as when a disk goes."""

    folder: Path
    line: Line
    forge: InterruptedForge

    def begin(self) -> None:
        self.folder.rename(self.folder.with_name("away"))

    def end(self) -> None:
        self.folder.with_name("away").rename(self.folder)


@pytest.fixture
def outage(sqlite_url: str, tmp_path: Path, desk: Desk, forge: InterruptedForge) -> Iterator[Outage]:
    """A worker with a short lease over a database that may go away."""
    folder = tmp_path / "database"
    folder.mkdir()
    shutil.move(tmp_path / "moonmind.db", folder)
    database = Database(f"sqlite:///{folder / 'moonmind.db'}")
    timing = StageTiming(lease=timedelta(seconds=0.5), beat=timedelta(seconds=0.1))
    yield Outage(folder, Line(database, desk, timing=timing), forge)
    database.dispose()


class TestOutageOfTheDatabase:
    def test_before_an_effect_leaves_the_stage_to_be_taken_over(self, outage: Outage) -> None:
        line = outage.line
        line.deliver_all(STAGES[:3])
        outage.forge.happening = outage.begin
        assert line.deliver(Stage.PUBLISH) is ENDED
        outage.end()
        assert (line.stage(Stage.PUBLISH).status, line.desk.workspace.pushed) == (StageStatus.RUNNING, [])

        assert line.take_over()
        assert line.deliver_all(STAGES[3:]) == [PASSED, ENDED]
        assert line.read().status == "succeeded"

    def test_before_the_outcome_is_written_makes_the_stage_done_again(self, outage: Outage) -> None:
        line = outage.line

        def work(agent: ScriptedWork) -> None:
            greet(agent)
            outage.begin()

        scripted(line, ScriptedAgent(work))
        assert line.deliver_all() == [PASSED, ENDED]
        outage.end()
        assert line.stage(Stage.SUBMIT).status == StageStatus.RUNNING
        assert line.metrics.named("ended")[-1].status == "stale"

        assert line.take_over()
        scripted(line, ScriptedAgent(greet))
        assert line.deliver_all(STAGES[1:])[-1] is ENDED
        assert line.read().status == "succeeded"


class TestWaiting:
    def test_for_a_remote_agent_parks_the_stage_and_goes_on_when_it_is_done(self, line: Line) -> None:
        agent = ScriptedRemoteAgent({"task-1": NotReady(timedelta(0))}, name="command")
        line.use(agents={"command": agent})
        assert line.deliver_all() == [PASSED, PASSED, ENDED]
        row = line.stage(Stage.APPLY)
        assert (row.status, row.lease_until) == (StageStatus.WAITING, None)
        assert line.metrics.named("ended")[-1].status == "waiting"
        assert line.deliver(Stage.APPLY) is ENDED

        agent.answers = {"task-1": Collected(write_patch({}, {"a.txt": File(b"a\n")}), AgentReport())}
        assert line.wake(waiting_for="agent")
        assert line.deliver_all(STAGES[2:])[-1] is ENDED
        assert (line.read().status, len(agent.submitted)) == ("succeeded", 1)


class TestSecretInTheAgentsWords:
    """They went unredacted into rows, replies and the pull request, while the log beside them was clean."""

    @pytest.mark.parametrize("exit_code", [0, 3])
    def test_shows_nowhere(self, line: Line, exit_code: int) -> None:
        def work(agent: ScriptedWork) -> int:
            greet(agent)
            agent.say(f"I used {SECRET} and correct horse.")
            return exit_code

        line.use(policy=PatchPolicy(known_secrets=("correct horse",)))
        scripted(line, ScriptedAgent(work))
        with capture_logs() as logs:
            line.deliver_all()
        shown = [line.read().model_dump_json(), *(request.body for request in line.desk.forge.opened), str(logs)]
        assert "[redacted:github-token]" in shown[0]
        assert [text for text in shown if SECRET in text or "correct horse" in text] == []


class TestNoWork:
    def test_ends_the_chain_in_its_first_stage(self, database: Database, tmp_path: Path) -> None:
        desk = Desk(tmp_path / "other")
        desk.plan(TASKS.replace("[ ]", "[X]"))
        line = Line(database, desk)
        assert line.deliver_all() == [ENDED]
        run = line.read()
        assert (run.status, run.outcome, run.failure) == ("no_work", "all_done", None)
        assert [task.status for task in run.tasks] == ["succeeded", *["skipped"] * 4]
        assert line.metrics.named("ended")[-1].status == "no_work"


class TestRetry:
    def test_goes_on_with_the_stored_patch_and_without_the_agent(self, line: Line) -> None:
        line.desk.workspace.protect(REPOSITORY, BRANCH)
        assert line.deliver_all() == [PASSED] * 3 + [ENDED]
        assert line.read().status == "failed"
        before = [artifact.digest for artifact in line.read().artifacts if artifact.artifact_type == "codex_patch"]

        line.retry()
        assert line.read().status == "retrying"
        line.desk.workspace._repositories[REPOSITORY].protected.clear()
        assert line.deliver_all((Stage.PUBLISH, Stage.FINALIZE)) == [PASSED, ENDED]

        run = line.read()
        assert (run.status, run.attempt, run.epoch) == ("succeeded", 2, 2)
        assert submissions(line) == 1
        assert [a.digest for a in run.artifacts if a.artifact_type == "codex_patch"] == before
        assert [(task.task_name, task.attempt, task.status) for task in run.tasks] == [
            ("discover", 1, "succeeded"),
            ("submit", 1, "succeeded"),
            ("apply", 1, "succeeded"),
            ("publish", 1, "failed"),
            ("finalize", 1, "skipped"),
            ("publish", 2, "succeeded"),
            ("finalize", 2, "succeeded"),
        ]
        assert [(sample.stage, sample.attempt) for sample in line.metrics.named("retried")] == [
            (Stage.PUBLISH, 2),
            (Stage.FINALIZE, 2),
        ]

    def test_is_running_from_its_first_stage_on_and_may_fail_again(self, line: Line) -> None:
        seen: list[str] = []

        def fail(work: ScriptedWork) -> int:
            seen.append(line.row().status)
            return 3

        scripted(line, ScriptedAgent(fail))
        line.deliver_all()
        line.retry(notes="Try harder.")
        seen.append(line.row().status)
        assert line.deliver(Stage.SUBMIT) is ENDED
        assert (seen, line.row().status) == (["running", "retrying", "running"], RunStatus.FAILED)
        assert [task.status for task in line.read().tasks if task.task_name == "submit"] == ["failed", "failed"]

    def test_tells_the_agent_why_and_what_the_operator_says(self, line: Line) -> None:
        """The reason was cleared when the attempt began, so no prompt ever had it."""
        scripted(line, ScriptedAgent(lambda work: work.say("Which colour?")))
        line.deliver_all()
        scripted(line, ScriptedAgent(greet))
        line.retry(notes="Blue.")
        line.deliver_all(STAGES[1:])
        first, second = (prompt.decode() for prompt in line.content("prompt"))
        assert "Why this is tried again" not in first
        assert "agent_needs_input" in second
        assert "Which colour?" in second
        assert "Blue." in second
        assert line.read().status == "succeeded"

    def test_does_not_trouble_the_agent_with_failures_of_others(self, line: Line) -> None:
        line.desk.forge.refuse_credentials("The token is expired.")
        line.deliver_all()
        line.desk.forge.accept_credentials()
        line.retry(mode=RetryMode.RESTART)
        line.deliver_all()
        assert all(b"Why this is tried again" not in prompt for prompt in line.content("prompt"))
        assert line.read().status == "succeeded"

    def test_answers_one_closing_with_one_branch_more(self, line: Line) -> None:
        line.desk.forge.lose_next_answer()
        line.deliver_all()
        line.desk.forge.close(REPOSITORY, 1)
        line.retry()
        assert line.deliver(Stage.PUBLISH) is ENDED
        failure = line.read().failure
        assert failure is not None
        assert failure.code == "pull_request_closed"
        line.retry()
        line.deliver_all((Stage.PUBLISH, Stage.FINALIZE))
        run = line.read()
        assert (run.status, run.branch_name) == ("succeeded", f"{BRANCH}-2")
        assert [request.head for request in line.desk.forge.opened] == [BRANCH, f"{BRANCH}-2"]

    def test_from_the_start_takes_a_new_base_and_leaves_a_decided_branch(self, line: Line) -> None:
        line.desk.forge.lose_next_answer()
        line.deliver_all()
        line.desk.forge.close(REPOSITORY, 1)
        tip = line.desk.commit("main", {TASKS_PATH: TASKS.replace("[ ] T002", "[x] T002").encode()})
        line.retry(mode=RetryMode.RESTART)
        assert line.deliver_all() == [PASSED] * 4 + [ENDED]
        run = line.read()
        assert (run.base_sha, run.branch_name, run.status) == (tip, f"{BRANCH}-2", "succeeded")


class TestCancel:
    def test_before_the_push_lets_nothing_leave(self, line: Line) -> None:
        def cancel(work: ScriptedWork) -> None:
            greet(work)
            cancel_spec_workflow_run(line.database, line.run_id, reason="Wrong feature.")

        scripted(line, ScriptedAgent(cancel))
        assert line.deliver_all()[-1] is ENDED
        run = line.read()
        assert (run.status, run.pr_url) == ("cancelled", None)
        assert line.desk.workspace.pushed == []
        assert line.content("run_summary")

    def test_between_look_and_push_lets_nothing_leave_either(self, line: Line, forge: InterruptedForge) -> None:
        line.deliver_all(STAGES[:3])
        forge.happening = lambda: cancel_spec_workflow_run(line.database, line.run_id, reason=None)
        assert line.deliver(Stage.PUBLISH) is ENDED
        assert (line.read().status, line.desk.workspace.pushed) == ("cancelled", [])


class TestSlot:
    def test_that_is_missing_parks_the_stage_and_a_freed_one_wakes_it(self, line: Line) -> None:
        line.deliver(Stage.DISCOVER)
        with line.services.slots.take(needed=True):
            assert line.deliver(Stage.SUBMIT) is ENDED
            row = line.stage(Stage.SUBMIT)
            assert (row.status, row.waiting_for, row.token) == (StageStatus.WAITING, "agent_slot", 0)
            assert line.metrics.named("started")[-1].stage is Stage.DISCOVER
        assert line.freed_slots == 1
        assert line.wake(waiting_for="agent_slot")
        assert line.deliver_all(STAGES[1:])[-1] is ENDED
        assert line.read().status == "succeeded"

    def test_is_not_needed_to_publish(self, line: Line) -> None:
        line.deliver_all(STAGES[:2])
        with line.services.slots.take(needed=True):
            assert line.deliver_all(STAGES[2:])[-1] is ENDED
        assert line.read().status == "succeeded"
