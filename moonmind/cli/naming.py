"""Find the run or the artifact that an operator means from the few letters they type."""

import re
from uuid import UUID

import click

from moonmind.cli.client import ServiceClient
from moonmind.cli.harmless import harmless
from moonmind.cli.json_values import Document, documents, raw_text, text
from moonmind.cli.views import ArtifactView, artifact_view
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_PREFIX = re.compile(r"[0-9a-f-]+")
_SHORTEST = 4
_PAGE = 100
_MOST_PAGES = 20
_LAST = "last"


def find_run(client: ServiceClient, name: str) -> str:
    """
    Return the id of a run named by its id, a unique beginning of it, or `last`.

    Raises a usage error for a name that is too short, ambiguous or no id at all, and
    `workflow_not_found` when no run begins with it.
    """
    if name.lower() == _LAST:
        return _newest_run(client)
    exact = _as_uuid(name)
    if exact:
        return exact
    prefix = name.lower()
    if not _PREFIX.fullmatch(prefix) or len(prefix.replace("-", "")) < _SHORTEST:
        ways = f"its id, at least {_SHORTEST} letters of its beginning, or `{_LAST}`"
        message = f"'{harmless(name)}' names no run: give {ways}."
        raise click.UsageError(message)
    found = _runs_beginning_with(client, prefix.replace("-", ""))
    if len(found) > 1:
        shown = ", ".join(run_id for run_id in found[:5])
        more = ", …" if len(found) > 5 else ""  # noqa: PLR2004 - as many as fit on a screen
        message = f"{prefix!r} is the beginning of several runs: {shown}{more}"
        raise click.UsageError(message)
    if not found:
        raise WorkflowError(FailureCode.WORKFLOW_NOT_FOUND, f"No run's id begins with {prefix}.")
    return found[0]


def find_artifact(client: ServiceClient, run_id: str, name: str) -> ArtifactView:
    """Return the artifact with that id, else the newest of that name or type; raises `artifact_not_found`."""
    artifacts = list_artifacts(client, run_id)
    matches = [
        [artifact for artifact in artifacts if artifact.id == name],
        [artifact for artifact in artifacts if artifact.name == name],
        [artifact for artifact in artifacts if artifact.artifact_type == name],
    ]
    for fitting in filter(None, matches):
        return max(fitting, key=lambda artifact: (artifact.attempt, str(artifact.created_at or ""), artifact.id))
    types = ", ".join(sorted({artifact.artifact_type for artifact in artifacts})) or "none"
    detail = f"The run has no artifact {name!r}; the types it has: {types}."
    raise WorkflowError(FailureCode.ARTIFACT_NOT_FOUND, detail, runId=run_id)


def list_artifacts(client: ServiceClient, run_id: str) -> list[ArtifactView]:
    """Return all artifacts of a run, in the order of the service."""
    return [artifact_view(item) for item in documents(client.artifacts(run_id).get("artifacts"))]


def _newest_run(client: ServiceClient) -> str:
    ids = _ids(client.list_runs([("limit", "1")]))
    if not ids:
        raise WorkflowError(FailureCode.WORKFLOW_NOT_FOUND, "There is no run yet.")
    return ids[0]


def _ids(page: Document) -> list[str]:
    return [run_id for item in documents(page.get("items")) if (run_id := text(item.get("id")))]


def _as_uuid(name: str) -> str:
    try:
        return str(UUID(name))
    except ValueError:
        return ""


def _runs_beginning_with(client: ServiceClient, prefix: str) -> list[str]:
    """
    Page through the list for ids with this beginning, dashes aside.

    Ids begin with the time and the list is newest first, so fitting ones stand together:
    the page that ends with another id ends the search.
    """
    found: list[str] = []
    cursor = ""
    for _ in range(_MOST_PAGES):
        page = client.list_runs([("limit", str(_PAGE)), *([("cursor", cursor)] if cursor else [])])
        ids = _ids(page)
        fitting = [run_id for run_id in ids if run_id.replace("-", "").startswith(prefix)]
        found += fitting
        cursor = raw_text(page.get("nextCursor"))
        if not cursor or (found and (not fitting or fitting[-1] != ids[-1])):
            break
    return found
