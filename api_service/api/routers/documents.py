"""Serve the API's own description, to those who may read."""

from typing import Any

from fastapi import APIRouter, Request

from api_service.api.dependencies import ViewerDep

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
def openapi(request: Request, _viewer: ViewerDep) -> dict[str, Any]:
    """Return the OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document
