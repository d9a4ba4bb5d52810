"""The command agent keeps the worker's secrets, the tree and the operator's questions in mind."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from moonmind.agents.command import CommandAgent
from moonmind.domain.errors import WorkflowError
from moonmind.domain.ports import AgentOrder, AgentReport
from moonmind.domain.states import AuditStatus
from moonmind.testing.agents import FakeLease

PATH = "/usr/local/bin:/usr/bin:/bin"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s3cr3t",
    "CELERY_BROKER_URL": "redis://:s3cr3t@broker",
    "CODEX_API_KEY": "sk-s3cr3t",
    "DATABASE_URL": "postgresql://user:s3cr3t@database",
    "GITHUB_TOKEN": "ghp_s3cr3t",
    "MOONMIND_TOKEN": "mm_1_s3cr3t",
}


@dataclass(frozen=True)
class FolderTree:
    path: Path

    def diff(self) -> bytes:
        return b""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture
def submit(tree: Path) -> Callable[..., AgentReport]:
    def submit(command: str, *, environment: Mapping[str, str] | None = None) -> AgentReport:
        limit = timedelta(seconds=20)
        agent = CommandAgent(
            ["sh", "-c", command], parent_environment={"PATH": PATH, **(environment or {})}, wall=limit, idle=limit
        )
        order = AgentOrder("mm-1", "prompt", "main", "0" * 40, tree.with_name("log.jsonl"), FolderTree(tree))
        return agent.submit(order, lease=FakeLease(), started=lambda _handle: None)

    return submit


def agent_of(*argv: str, path: str = PATH) -> CommandAgent:
    limit = timedelta(seconds=20)
    return CommandAgent(argv, parent_environment={"PATH": path}, wall=limit, idle=limit)


class TestEnvironment:
    def test_has_no_secret_of_the_worker(self, submit: Callable[..., AgentReport], tree: Path) -> None:
        submit("env; tr '\\0' '\\n' < /proc/$PPID/environ || true", environment=SECRETS)
        log = tree.with_name("log.jsonl").read_text()
        assert "HOME=" in log
        assert not [name for name in (*SECRETS, "s3cr3t") if name in log]

    def test_has_what_leads_out_of_a_closed_network(self, submit: Callable[..., AgentReport], tree: Path) -> None:
        ways_out = {"HTTPS_PROXY": "http://proxy:3128", "SSL_CERT_FILE": "/etc/ca.pem", "NO_PROXY": "localhost"}
        submit("env", environment=ways_out)
        lines = [json.loads(line)["line"] for line in tree.with_name("log.jsonl").read_text().splitlines()]
        assert {f"{name}={value}" for name, value in ways_out.items()} <= set(lines)

    def test_has_a_home_that_is_gone_afterwards(self, submit: Callable[..., AgentReport], tree: Path) -> None:
        report = submit("mkdir -p ~/.cache/a/b; touch ~/.cache/a/b/c; chmod -R 0 ~/.cache; touch $TMPDIR/x; echo $HOME")
        assert report.last_message.startswith(str(tree.parent))
        assert sorted(path.name for path in tree.parent.iterdir()) == ["log.jsonl", "tree"]

    def test_leaves_the_tree_to_the_agent(self, submit: Callable[..., AgentReport], tree: Path) -> None:
        submit("ls -A > /dev/null; pwd > $HOME/here")
        assert list(tree.iterdir()) == []


class TestFailure:
    def test_names_the_signal(self, submit: Callable[..., AgentReport]) -> None:
        with pytest.raises(WorkflowError, match="signal SIGKILL"):
            submit("kill -KILL $$")

    def test_shows_no_control_characters(self, submit: Callable[..., AgentReport]) -> None:
        with pytest.raises(WorkflowError) as failure:
            submit("printf 'first\\n\\033[31mred\\033[0m\\n\\n'; exit 1")
        assert failure.value.detail.endswith("first\n[31mred [0m")

    def test_of_one_that_said_nothing_says_so(self, submit: Callable[..., AgentReport]) -> None:
        with pytest.raises(WorkflowError, match="It said nothing"):
            submit("exit 9")


class TestCheck:
    def test_fails_without_a_command(self) -> None:
        verdict = agent_of().check()
        assert verdict.status is AuditStatus.FAILED
        assert "SPEC_WORKFLOW_AGENT_COMMAND" in verdict.remedy

    def test_fails_for_a_file_that_cannot_be_run(self, tmp_path: Path) -> None:
        (tmp_path / "agent").write_text("#!/bin/sh\n")
        assert agent_of("agent", path=str(tmp_path)).check().status is AuditStatus.FAILED
        assert agent_of(str(tmp_path / "agent")).check().status is AuditStatus.FAILED

    def test_fails_for_a_program_that_only_the_repository_has(self, tree: Path) -> None:
        (tree / "agent.sh").write_text("#!/bin/sh\n")
        (tree / "agent.sh").chmod(0o755)
        assert agent_of("./agent.sh").check().status is AuditStatus.FAILED

    def test_passes_for_a_program_on_the_path_and_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "agent").write_text("#!/bin/sh\n")
        (tmp_path / "agent").chmod(0o755)
        agent = agent_of("agent", path=str(tmp_path))
        assert agent.check().status is AuditStatus.PASSED
        assert agent.version == str(tmp_path / "agent")
