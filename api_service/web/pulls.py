"""Show a pull request of the local forge: the page behind `prUrl` where there is no other forge."""

from typing import Annotated, Protocol, runtime_checkable

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse

from api_service.api.dependencies import ServicesDep
from api_service.web.diffs import read_diff
from api_service.web.markdown import read_markdown
from api_service.web.rendering import page
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode, FailureKind
from moonmind.domain.markers import Marker, find_marker
from moonmind.domain.ports import PullRequest

router = APIRouter(include_in_schema=False)

_NOT_THERE = frozenset({FailureCode.REPOSITORY_NOT_FOUND, FailureCode.PULL_REQUEST_NOT_FOUND})


@runtime_checkable
class PullRequestPages(Protocol):
    """A forge that keeps its pull requests here, so that we show them."""

    def read(self, repository: str, number: int) -> PullRequest:
        """Return one; raises `repository_not_found` or `pull_request_not_found`."""

    def diff(self, repository: str, number: int) -> bytes:
        """Return what it changes, as a unified diff."""


def pull_request_pages(services: ServicesDep) -> PullRequestPages:
    """Return the service's forge if it keeps pull requests; raises `route_not_found` for one with pages of its own."""
    if not isinstance(services.forge, PullRequestPages):
        detail = f"The forge {services.forge.name} shows its pull requests itself; follow the run's prUrl."
        raise WorkflowError(FailureCode.ROUTE_NOT_FOUND, detail)
    return services.forge


PagesDep = Annotated[PullRequestPages, Depends(pull_request_pages)]
NumberInPath = Annotated[int, InPath(ge=1, le=10**9)]


@router.get("/forge/{owner}/{name}/pulls/{number}", response_class=HTMLResponse)
def show_pull_request(request: Request, pages: PagesDep, owner: str, name: str, number: NumberInPath) -> HTMLResponse:
    """Show what the pull request says and changes."""
    repository = f"{owner}/{name}".lower()
    try:
        pull = pages.read(repository, number)
        diff = read_diff(pages.diff(repository, number))
    except WorkflowError as error:
        if error.code not in _NOT_THERE and error.failure.kind is not FailureKind.NOT_FOUND:
            raise
        return page(request, "pull_request_missing.html", {"detail": error.detail}, status=404)
    marker = find_marker(pull.body)
    context = {
        "repository": repository,
        "pull": pull,
        "marker": marker,
        "blocks": read_markdown(_without_marker(pull.body, marker)),
        "diff": diff,
    }
    return page(request, "pull_request.html", context)


def _without_marker(body: str, marker: Marker | None) -> str:
    """Leave out the last line where it is the marker: a comment is for machines."""
    return body.rstrip().rpartition("\n")[0] if marker else body
