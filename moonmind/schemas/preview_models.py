"""Define the JSON of a preview: what a run would do now."""

from datetime import datetime

from moonmind.schemas.workflow_models import Model


class PreviewPhase(Model):
    """The phase that a run would work on."""

    title: str
    line: int


class PreviewTask(Model):
    """A task that would be handed to the agent."""

    id: str | None
    line: int
    text: str


class PreviewVerdict(Model):
    """A credential check that was made for the preview alone."""

    subject: str
    status: str
    kind: str
    message: str
    remedy: str
    login: str | None
    last_four: str | None
    scopes: list[str]
    expires_at: datetime | None


class PreviewPullRequest(Model):
    """The open pull request that already has the phase."""

    number: int | None
    url: str


class PreviewRead(Model):
    """What a run would do now: `status` is `work`, or `held` or `no_work` with the outcome that says why."""

    status: str
    outcome: str | None
    message: str | None
    repository: str
    feature_key: str
    feature_dir: str
    base_branch: str
    base_sha: str
    tasks_total: int
    tasks_done: int
    phase: PreviewPhase | None
    tasks: list[PreviewTask]
    branch_name: str | None
    agent: str
    prompt: str | None
    credentials: list[PreviewVerdict]
    pull_request: PreviewPullRequest | None
    warnings: list[str]
