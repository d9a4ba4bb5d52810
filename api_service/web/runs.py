"""Show runs in a browser: what they found, did and left, and what to type next."""

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api_service.api.dependencies import ServicesDep, ViewerDep
from api_service.web.rendering import page
from moonmind.domain.failures import CATALOGUE
from moonmind.workflows.reading import one_run, run_page
from moonmind.workflows.speckit_celery.repositories import RunFilter

router = APIRouter(include_in_schema=False)
_MOST_RUNS = 50


@router.get("/")
def show_runs(request: Request, services: ServicesDep, _viewer: ViewerDep) -> HTMLResponse:
    """List the newest runs."""
    newest = run_page(services.database, RunFilter(), public_url=services.public_url, limit=_MOST_RUNS)
    return page(request, "runs.html", {"runs": newest.items})


@router.get("/runs/{run_id}")
def show_run(request: Request, run_id: UUID, services: ServicesDep, _viewer: ViewerDep) -> HTMLResponse:
    """Show one run."""
    run = one_run(services.database, run_id, public_url=services.public_url)
    return page(request, "run.html", {"run": run})


@router.get("/docs")
def show_api(request: Request, _viewer: ViewerDep) -> HTMLResponse:
    """List the routes; the whole description is at `/openapi.json`."""
    document = request.app.openapi()
    routes = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return page(request, "api.html", {"routes": routes, "title": document["info"]["title"]})


@router.get("/docs/runbook")
def show_runbook(request: Request, _viewer: ViewerDep) -> HTMLResponse:
    """Show every failure code with its cause and remedy, each under its own anchor."""
    return page(request, "runbook.html", {"catalogue": CATALOGUE})
