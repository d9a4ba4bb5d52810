"""Open a run's pull request, or bring the one it has up to date, and keep what was said on both sides."""

import json
from dataclasses import asdict, dataclass

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.orders import PublishOrder
from moonmind.domain.ports import (
    Forge,
    PullRequest,
    PullRequestDraft,
    PullRequestState,
    RepositoryFacts,
    StageArtifacts,
)
from moonmind.domain.pull_requests import RunFacts, pull_request_body, pull_request_title
from moonmind.stages.standing import own_request


@dataclass(frozen=True)
class Landed:
    """The pull request as it is now, and whether it was there before."""

    request: PullRequest
    updated: bool


def open_or_update(
    order: PublishOrder,
    *,
    forge: Forge,
    facts: RepositoryFacts,
    own: PullRequest | None,
    commit: str,
    artifacts: StageArtifacts,
) -> Landed:
    """
    Create the pull request where the run has none, else set its title and body.

    Repeating is safe, also after a creation whose answer was lost: the forge refuses a second one,
    and a second look finds the first. Raises `pull_request_refused` when there is none all the same.
    """
    draft = _draft(order, facts)
    _keep(artifacts, "pr_payload", "pr_payload.json", draft)
    if own is not None:
        return Landed(_updated(forge, facts, own, draft), updated=True)
    try:
        return Landed(forge.open_pull_request(facts, draft), updated=False)
    except WorkflowError as error:
        if error.code is not FailureCode.PULL_REQUEST_REFUSED:
            raise
        # Another delivery may have opened it after we looked; only a second look can tell.
        found = own_request(forge.pull_requests(facts, head=draft.head), order.run_id, commit=commit)
        if found is None:
            raise
        return Landed(_updated(forge, facts, found, draft), updated=True)


def keep_response(artifacts: StageArtifacts, request: PullRequest) -> None:
    """Store the pull request as the forge told it."""
    _keep(artifacts, "gh_pr_response", "pull_request.json", request)


def _draft(order: PublishOrder, facts: RepositoryFacts) -> PullRequestDraft:
    run = RunFacts(order.run_id, order.run_url, order.requested_by, order.notes, facts.web_url)
    return PullRequestDraft(
        head=order.discovered.branch,
        base=order.discovered.base_branch,
        title=pull_request_title(order.discovered),
        body=pull_request_body(order.discovered, order.submitted, order.applied, facts=run),
    )


def _updated(forge: Forge, facts: RepositoryFacts, request: PullRequest, draft: PullRequestDraft) -> PullRequest:
    if request.state is not PullRequestState.OPEN or (request.title, request.body) == (draft.title, draft.body):
        return request
    return forge.update_pull_request(facts, request.number, draft)


def _keep(artifacts: StageArtifacts, artifact_type: str, name: str, value: PullRequest | PullRequestDraft) -> None:
    text = json.dumps(asdict(value), indent=2, ensure_ascii=False)
    artifacts.put(artifact_type, name, text.encode("utf-8", "surrogatepass"))
