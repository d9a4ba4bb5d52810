"""Describe in the OpenAPI document how routes answer when they fail."""

from typing import Any

from moonmind.schemas.workflow_models import Problem

PROBLEM: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {**PROBLEM, "description": "There is no such run."}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {**PROBLEM, "description": "No valid token."},
    403: {**PROBLEM, "description": "The token's role does not allow this."},
    422: {**PROBLEM, "description": "The request is not valid."},
    503: {**PROBLEM, "description": "The database does not answer."},
}
