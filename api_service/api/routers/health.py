"""Tell orchestrators whether the process lives and whether it can serve."""

from fastapi import APIRouter, Response

from api_service.api.dependencies import ServicesDep

router = APIRouter(tags=["health"])


@router.get("/health/live", operation_id="getLiveness")
def live() -> dict[str, str]:
    """Answer while the process runs."""
    return {"status": "live"}


@router.get("/health/ready", operation_id="getReadiness")
def ready(services: ServicesDep, response: Response) -> dict[str, object]:
    """Answer 200 when the database and the embedded worker can serve, else 503 with what is missing."""
    missing = dict(services.ready())
    if missing:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
        return {"status": "not ready", "missing": missing}
    return {"status": "ready"}
