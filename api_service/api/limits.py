"""Refuse request bodies that are larger than any order needs."""

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_service.api.errors import problem_response
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_MOST_BYTES = 1024 * 1024


class _TooLargeError(Exception):
    """The body went past the limit while it was read."""


class BodyLimit:
    """Counts what arrives instead of believing `Content-Length`, which may be absent or wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, cutting it off at the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0
        answered = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > _MOST_BYTES:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            # The framework takes our exception for a body that it cannot parse; its answer is dropped.
            if seen <= _MOST_BYTES or answered:
                answered = True
                await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counted, noted)
        if seen > _MOST_BYTES and not answered:
            detail = f"The body is larger than {_MOST_BYTES} bytes."
            response = problem_response(WorkflowError(FailureCode.PAYLOAD_TOO_LARGE, detail))
            await response(scope, receive, send)
