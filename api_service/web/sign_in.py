"""Sign a browser in with a token, so that a person can open the service's pages."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api_service.api.dependencies import SESSION_COOKIE, ServicesDep
from api_service.auth.tokens import TokenRepository, operator_of_token
from api_service.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def show_form(request: Request, then: str = "/") -> HTMLResponse:
    """Show the form."""
    return _form(request, then=then)


@router.post("/sign-in")
def sign_in(
    request: Request, services: ServicesDep, token: Annotated[str, Form()], then: Annotated[str, Form()] = "/"
) -> Response:
    """Open a session and go where the person wanted to go."""
    operator = operator_of_token(services.database, token.strip()) if _same_origin(request) else None
    if operator is None:
        return _form(request, then=then, message="That token is not valid. Copy it whole, from mm_ on.", status=401)
    with services.database.transaction() as session:
        cookie = TokenRepository(session, services.database.clock).open_session(operator)
    response = RedirectResponse(_local(then), status_code=303)
    secure = services.public_url.startswith("https://")
    response.set_cookie(SESSION_COOKIE, cookie, httponly=True, samesite="strict", secure=secure, path="/")
    return response


def _form(request: Request, *, then: str, message: str = "", status: int = 200) -> HTMLResponse:
    return page(request, "sign_in.html", {"then": _local(then), "message": message}, status=status)


def _local(target: str) -> str:
    """Return the target if it is a path of ours: a sign-in page must not send people elsewhere."""
    parts = urlsplit(target)
    local = not parts.scheme and not parts.netloc and target.startswith("/") and "\\" not in target
    return target if local and not target.startswith("//") else "/"


def _same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
