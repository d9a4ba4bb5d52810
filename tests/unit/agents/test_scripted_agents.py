"""The stand-ins for agents refuse what real ones refuse."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import AgentHandle, AgentOrder, AgentReport, Collected, NotReady, RemoteAgent
from moonmind.testing.agents import FakeLease, ScriptedRemoteAgent

NOT_READY = NotReady(timedelta(seconds=15))
READY = Collected(b"diff --git a/a b/a\n", AgentReport())


@dataclass(frozen=True)
class FolderTree:
    path: Path

    def diff(self) -> bytes:
        return b""


@pytest.fixture
def order(tmp_path: Path) -> AgentOrder:
    return AgentOrder("mm-1", "prompt", "main", "0" * 40, tmp_path / "log.jsonl", tree=None)


class TestScriptedRemoteAgent:
    def test_is_one_that_can_be_asked_for_patches(self) -> None:
        agent: RemoteAgent = ScriptedRemoteAgent()
        assert isinstance(agent, RemoteAgent)
        assert not agent.local

    def test_tells_the_task_before_it_returns(self, order: AgentOrder) -> None:
        handles: list[AgentHandle] = []
        report = ScriptedRemoteAgent().submit(order, lease=FakeLease(), started=handles.append)
        assert report.task_id == "task-1"
        assert (handles[0].task_id, handles[0].task_url) == (report.task_id, report.task_url)

    def test_answers_as_the_test_says(self) -> None:
        broken = WorkflowError(FailureCode.AGENT_FAILED, "It failed over there.")
        agent = ScriptedRemoteAgent({"task-1": NOT_READY, "task-2": READY, "task-3": broken})
        assert [agent.collect("task-1"), agent.collect("task-2")] == [NOT_READY, READY]
        with pytest.raises(WorkflowError, match="over there"):
            agent.collect("task-3")

    def test_knows_no_other_task(self) -> None:
        with pytest.raises(WorkflowError) as failure:
            ScriptedRemoteAgent().collect("task-9")
        assert failure.value.code is FailureCode.AGENT_UNAVAILABLE

    def test_refuses_a_tree(self, order: AgentOrder, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="tree"):
            ScriptedRemoteAgent().submit(
                replace(order, tree=FolderTree(tmp_path)), lease=FakeLease(), started=lambda _handle: None
            )


class TestFakeLease:
    def test_tells_its_time_at_once_and_at_each_renewal(self) -> None:
        lease = FakeLease(30)
        renewals: list[float] = []
        with lease.attach(renewals.append, lambda: None):
            lease.renew()
        lease.renew()
        assert renewals == [30, 30]

    def test_once_lost_is_lost_for_all_and_cannot_be_renewed(self) -> None:
        lease = FakeLease()
        heard: list[str] = []
        with lease.attach(lambda _seconds: None, lambda: heard.append("the first")):
            lease.lose()
        with lease.attach(lambda _seconds: None, lambda: heard.append("the second")):
            pass
        assert heard == ["the first", "the second"]
        with pytest.raises(ValueError, match="never renewed"):
            lease.renew()
