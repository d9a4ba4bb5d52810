"""Every local agent, real or scripted, keeps these promises to the submit stage."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.agents.command import CommandAgent
from moonmind.domain.errors import StaleClaimError, WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Agent, AgentHandle, AgentOrder, AgentReport, RemoteAgent
from moonmind.domain.states import AuditStatus
from moonmind.testing.agents import FakeLease, ScriptedAgent, ScriptedWork

_LONG_ENOUGH_TO_START = 0.3
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@dataclass(frozen=True)
class Behaviour:
    """The same agent, told as a shell command and as a script."""

    shell: str
    script: Callable[[ScriptedWork], int | None]
    wall: float = 20
    idle: float = 20


def _edit(work: ScriptedWork) -> None:
    work.say("reading the prompt")
    work.write("prompt.txt", work.prompt)
    work.write("hello.py", "print('hello')\n")
    work.say("a warning", stream="stderr")
    work.say("I wrote hello.py.")


def _never_end(work: ScriptedWork) -> None:
    work.write("begun", "")
    work.work_until_killed()


def _fail(work: ScriptedWork) -> int:
    work.say("cannot reach the model")
    return 3


EDITS = Behaviour(
    "echo reading the prompt; cat > prompt.txt; echo \"print('hello')\" > hello.py;"
    "echo a warning >&2; sleep 0.1; echo I wrote hello.py.",
    _edit,
)
FAILS = Behaviour("echo cannot reach the model; exit 3", _fail)
NEVER_ENDS = Behaviour("touch begun; sleep 60", _never_end)
TOO_SLOW = Behaviour("while :; do echo busy; sleep 0.1; done", lambda work: work.run_out_of_time(), wall=0.6)
SILENT = Behaviour("sleep 60", lambda work: work.fall_silent(), idle=0.4)

MakeAgent = Callable[[Behaviour], Agent]


@dataclass(frozen=True)
class FolderTree:
    """A tree of an agent's own."""

    path: Path

    def diff(self) -> bytes:
        return b""


@pytest.fixture(params=["command", "scripted"])
def agent_that(request: pytest.FixtureRequest) -> MakeAgent:
    def command(behaviour: Behaviour) -> Agent:
        return CommandAgent(
            ["sh", "-c", behaviour.shell],
            parent_environment=_ENVIRONMENT,
            wall=timedelta(seconds=behaviour.wall),
            idle=timedelta(seconds=behaviour.idle),
        )

    return command if request.param == "command" else lambda behaviour: ScriptedAgent(behaviour.script)


@pytest.fixture(params=["command", "scripted"])
def unusable_agent(request: pytest.FixtureRequest) -> Agent:
    if request.param == "scripted":
        return ScriptedAgent(_edit, unusable_because="no-such-program is not there.")
    limit = timedelta(seconds=5)
    return CommandAgent(["no-such-program"], parent_environment=_ENVIRONMENT, wall=limit, idle=limit)


@pytest.fixture
def order(tmp_path: Path) -> AgentOrder:
    tree = tmp_path / "tree"
    tree.mkdir()
    return AgentOrder(
        marker="mm-run-1",
        prompt="Do T001.\nUse ünicode.\n",
        base_branch="main",
        base_sha="0" * 40,
        log_path=tmp_path / "log.jsonl",
        tree=FolderTree(tree),
    )


def submit(
    agent: Agent, order: AgentOrder, *, lease: FakeLease | None = None, started: Callable[[AgentHandle], None] = print
) -> AgentReport:
    return agent.submit(order, lease=lease or FakeLease(), started=started)


def files(order: AgentOrder) -> dict[str, str]:
    assert order.tree is not None
    return {path.name: path.read_text() for path in order.tree.path.iterdir()}


class TestAgentThatCanBeUsed:
    def test_has_a_name_and_a_version_and_is_local(self, agent_that: MakeAgent) -> None:
        agent = agent_that(EDITS)
        assert (agent.name, agent.local) == ("command", True)
        assert agent.version

    def test_passes_its_check(self, agent_that: MakeAgent) -> None:
        assert agent_that(EDITS).check().status is AuditStatus.PASSED

    def test_is_never_asked_for_a_patch(self, agent_that: MakeAgent) -> None:
        assert not isinstance(agent_that(EDITS), RemoteAgent)


class TestAgentThatCannotBeUsed:
    def test_fails_its_check_and_says_what_to_do(self, unusable_agent: Agent) -> None:
        verdict = unusable_agent.check()
        assert verdict.status is AuditStatus.FAILED
        assert verdict.subject == unusable_agent.name
        assert "no-such-program" in verdict.message
        assert "SPEC_WORKFLOW_AGENT_COMMAND" in verdict.remedy

    def test_refuses_the_work(self, unusable_agent: Agent, order: AgentOrder) -> None:
        with pytest.raises(WorkflowError) as failure:
            submit(unusable_agent, order)
        assert failure.value.code is FailureCode.AGENT_UNAVAILABLE


class TestSubmit:
    def test_gives_the_prompt_and_leaves_edits_in_the_tree(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        submit(agent_that(EDITS), order)
        assert files(order) == {"prompt.txt": order.prompt, "hello.py": "print('hello')\n"}

    def test_reports_the_last_words(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        report = submit(agent_that(EDITS), order)
        assert report.exit_code == 0
        assert report.last_message.endswith("I wrote hello.py.")

    def test_logs_each_line_as_a_json_object(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        submit(agent_that(EDITS), order)
        entries = [json.loads(line) for line in order.log_path.read_text().splitlines()]
        assert all(entry["at"] for entry in entries)
        assert [(entry["stream"], entry["line"]) for entry in entries if entry["stream"] == "stdout"] == [
            ("stdout", "reading the prompt"),
            ("stdout", "I wrote hello.py."),
        ]
        assert ("stderr", "a warning") in [(entry["stream"], entry["line"]) for entry in entries]

    def test_tells_where_it_runs_before_any_work(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        handles: list[AgentHandle] = []
        files_then: list[dict[str, str]] = []

        def started(handle: AgentHandle) -> None:
            handles.append(handle)
            time.sleep(_LONG_ENOUGH_TO_START)
            files_then.append(files(order))

        submit(agent_that(EDITS), order, started=started)
        assert files_then == [{}]
        assert handles[0].host
        assert handles[0].pid

    def test_does_no_work_when_its_start_cannot_be_stored(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        def refuse(_: AgentHandle) -> None:
            time.sleep(_LONG_ENOUGH_TO_START)
            raise StaleClaimError

        with pytest.raises(StaleClaimError):
            submit(agent_that(EDITS), order, started=refuse)
        assert files(order) == {}

    def test_does_no_work_under_a_lost_lease(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        lease = FakeLease()
        lease.lose()
        with pytest.raises(StaleClaimError):
            submit(agent_that(EDITS), order, lease=lease)
        assert files(order) == {}

    def test_stops_when_the_lease_is_lost(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        lease = FakeLease()

        def lose_while_it_works() -> None:
            while not files(order):
                time.sleep(0.01)
            lease.lose()

        loser = threading.Thread(target=lose_while_it_works)
        loser.start()
        with pytest.raises(StaleClaimError):
            submit(agent_that(NEVER_ENDS), order, lease=lease)
        loser.join()
        assert files(order) == {"begun": ""}

    @pytest.mark.parametrize(
        ("behaviour", "code", "words"),
        [
            (FAILS, FailureCode.AGENT_FAILED, ["exit code 3", "cannot reach the model"]),
            (TOO_SLOW, FailureCode.AGENT_TIMED_OUT, ["stopped after"]),
            (SILENT, FailureCode.AGENT_WENT_SILENT, ["said nothing"]),
        ],
        ids=["fails", "takes too long", "falls silent"],
    )
    def test_raises_when_it(
        self, agent_that: MakeAgent, order: AgentOrder, behaviour: Behaviour, code: FailureCode, words: list[str]
    ) -> None:
        with pytest.raises(WorkflowError) as failure:
            submit(agent_that(behaviour), order)
        assert failure.value.code is code
        assert all(part in failure.value.detail for part in words)

    def test_refuses_an_order_without_a_tree(self, agent_that: MakeAgent, order: AgentOrder) -> None:
        without = AgentOrder(order.marker, order.prompt, "main", order.base_sha, order.log_path, tree=None)
        with pytest.raises(ValueError, match="tree"):
            submit(agent_that(EDITS), without)
