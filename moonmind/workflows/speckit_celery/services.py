"""Choose the collaborators of the stages: one agent for each name, one forge, one workspace."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from api_service.db.session import Database
from moonmind.agents.command import CommandAgent
from moonmind.config.settings import Settings
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import Agent, ArtifactStore, Checked, Forge, Metrics, Workspace
from moonmind.domain.states import AuditStatus, Stage
from moonmind.forges.local import LocalForge
from moonmind.workflows.speckit_celery.credentials import RecordedCredentials
from moonmind.workflows.speckit_celery.heartbeat import LeaseBook
from moonmind.workflows.speckit_celery.repositories import Repositories
from moonmind.workflows.speckit_celery.slots import AgentSlots

_AFTER_AGENT = timedelta(minutes=15)
AGENT_NAMES = ("command",)
FORGE_NAMES = ("local",)


@dataclass(frozen=True)
class StageTiming:
    """Durations that decide about leases and limits."""

    lease: timedelta = timedelta(seconds=60)
    beat: timedelta = timedelta(seconds=15)
    grace: timedelta = timedelta(seconds=60)
    longest_grace: timedelta = timedelta(minutes=15)
    poll: timedelta = timedelta(seconds=15)
    stage_limit: timedelta = timedelta(minutes=15)
    submit_limit: timedelta = timedelta(minutes=75)

    @classmethod
    def of(cls, settings: Settings) -> "StageTiming":
        """Return the durations that an operator set; the submit stage outlives its agent by a margin."""
        return cls(
            lease=settings.lease,
            beat=timedelta(seconds=settings.heartbeat_seconds),
            grace=timedelta(seconds=settings.pending_grace_seconds),
            poll=timedelta(seconds=settings.poll_seconds),
            submit_limit=timedelta(seconds=settings.submit_timeout_seconds) + _AFTER_AGENT,
        )

    def limit(self, stage: Stage) -> timedelta:
        """Return the time after which a stage's lease is not renewed any more."""
        return self.submit_limit if stage is Stage.SUBMIT else self.stage_limit


@dataclass(frozen=True)
class Services:
    """Everything a worker needs to run stages; built once by an entry point."""

    database: Database
    agents: Mapping[str, Agent]
    forge: Forge
    workspace: Workspace
    store: ArtifactStore
    metrics: Metrics
    slots: AgentSlots
    leases: LeaseBook
    timing: StageTiming
    policy: PatchPolicy
    holder: str
    """The random id of this process, which owns its claims."""
    worker_name: str
    public_url: str
    max_tasks: int

    def agent(self, name: str) -> Agent:
        """Return the agent of a run; raises `agent_unavailable` when this worker lacks it."""
        try:
            return self.agents[name]
        except KeyError:
            detail = f"This worker has no agent {name!r}; it has {', '.join(sorted(self.agents))}."
            raise WorkflowError(FailureCode.AGENT_UNAVAILABLE, detail) from None

    def needs_slot(self, run_id: UUID, stage: Stage) -> bool:
        """Say whether a stage will hold an agent slot: only a local agent's submission does."""
        if stage is not Stage.SUBMIT:
            return False
        with self.database.reading() as session:
            run = Repositories(session, self.database.clock).runs.find(run_id)
        agent = self.agents.get(run.agent) if run else None
        return agent is not None and agent.local

    def credentials(self, run_id: UUID) -> RecordedCredentials:
        """Return the credentials gate of a run, which keeps every verdict."""
        codes = dict.fromkeys(self.agents, FailureCode.AGENT_UNAVAILABLE)
        codes[self.forge.name] = FailureCode.FORGE_UNAVAILABLE
        return RecordedCredentials(self.database, run_id, codes=codes, worker=self.worker_name)

    def run_url(self, run_id: UUID) -> str:
        """Return where an operator sees the run."""
        return f"{self.public_url.rstrip('/')}/runs/{run_id}"


def make_agents(settings: Settings, environment: Mapping[str, str]) -> Mapping[str, Agent]:
    """Return the agents this process can run; raises `setting_invalid` when the chosen one is not among them."""
    agents: dict[str, Agent] = {}
    if settings.agent == "command" or settings.agent_command:
        agents["command"] = CommandAgent(
            shlex.split(settings.agent_command),
            parent_environment=environment,
            wall=timedelta(seconds=settings.submit_timeout_seconds),
            idle=timedelta(seconds=settings.submit_idle_seconds),
            hidden=(settings.data, settings.effective_artifact_root, settings.effective_forge_root),
        )
    _require_choice("SPEC_WORKFLOW_AGENT", settings.agent, AGENT_NAMES)
    return agents


def make_forge(settings: Settings) -> LocalForge:
    """Return the forge; raises `setting_invalid` when this version does not have it."""
    _require_choice("SPEC_WORKFLOW_FORGE", settings.forge, FORGE_NAMES)
    return LocalForge(settings.effective_forge_root, public_url=settings.public_url)


def make_policy(settings: Settings) -> PatchPolicy:
    """Return what a patch may contain."""
    return PatchPolicy(
        max_bytes=settings.max_patch_bytes,
        protected_paths=settings.protected_paths,
        known_secrets=settings.secret_values,
    )


def require_credentials(forge: Forge, agents: Mapping[str, Agent], agent_name: str) -> None:
    """Check an agent and the forge in this process; raises `credentials_invalid` with the first failed verdict."""
    subjects: list[Checked] = [forge]
    if agent_name in agents:
        subjects.append(agents[agent_name])
    for subject in subjects:
        verdict = subject.check()
        if verdict.status is AuditStatus.FAILED:
            detail = f"{verdict.message} {verdict.remedy}".strip()
            raise WorkflowError(FailureCode.CREDENTIALS_INVALID, detail, subject=subject.name)


def _require_choice(variable: str, chosen: str, known: Sequence[str]) -> None:
    if chosen not in known:
        detail = f"{variable}: this installation has no {chosen!r}; set it to {' or '.join(known)}."
        raise WorkflowError(FailureCode.SETTING_INVALID, detail)
