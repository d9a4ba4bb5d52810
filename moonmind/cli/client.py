"""Speak the service's HTTP API: bounded, patient where repeating is safe, and in the service's own words on refusal."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict, Unpack
from urllib.parse import quote

import httpx

from moonmind.cli.json_values import Document, raw_text
from moonmind.cli.refusals import refusal_of
from moonmind.config.client import Server
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_PREFIX = "/api/workflows/speckit"
_TIMEOUT = httpx.Timeout(30, connect=5)
_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_MAX_LOG_BYTES = 1024 * 1024
_PAUSES = (0.3, 1.0)

_STRANGE = "answers, but not as this service does"

Query = Sequence[tuple[str, str]]


class _Options(TypedDict, total=False):
    query: Query
    body: Mapping[str, object]
    headers: Mapping[str, str]
    repeatable: bool


@dataclass(frozen=True)
class LogPart:
    """Some bytes of the agent's log; it may end in the middle of a line."""

    content: bytes
    next_offset: int
    is_complete: bool
    """True when nothing will be added after this part."""


class ServiceClient:
    """
    One operator's view of the API; replies are the JSON as sent.

    Every method raises `server_unreachable` when there is no usable answer, and
    `ServerRefusedError` with the service's code, words and remedy when there is one.
    """

    def __init__(
        self,
        server: Server,
        *,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._pause = pause
        self._http = httpx.Client(
            base_url=server.url + _PREFIX,
            headers={"Authorization": f"Bearer {server.token}", "Accept-Encoding": "identity"},
            timeout=_TIMEOUT,
            transport=transport,
            # A proxy for the outside would be handed the token and cannot reach this machine's loopback.
            trust_env=not server.is_this_machine,
        )

    def start_run(self, order: Mapping[str, object], *, key: str) -> Document:
        """Start a run; the key makes repeating safe, so a lost answer is asked for again."""
        return self._run_document("POST", "/runs", body=order, headers={"Idempotency-Key": key})

    def preview(self, order: Mapping[str, object]) -> Document:
        """Ask what a run would do; writes nothing."""
        return self._document("POST", "/preview", body=order)

    def list_runs(self, query: Query) -> Document:
        """Read one page of runs, newest first."""
        return self._document("GET", "/runs", query=query)

    def run(self, run_id: str, *, brief: bool = False) -> Document:
        """Read a run; brief leaves out its artifacts and credential checks."""
        query = (("includeArtifacts", "false"), ("includeCredentialAudit", "false")) if brief else ()
        return self._run_document("GET", _run_path(run_id), query=query)

    def artifacts(self, run_id: str) -> Document:
        """List the artifacts of a run, all attempts."""
        return self._document("GET", f"{_run_path(run_id)}/artifacts")

    def log(self, run_id: str, *, offset: int, stage: str | None = None) -> LogPart:
        """Read the agent's log from a byte offset on, at most one mebibyte at a time."""
        query = [("offset", str(offset)), *([("stage", stage)] if stage else [])]
        with self._reply("GET", f"{_run_path(run_id)}/logs", query=query) as reply:
            content = _first_bytes(reply, _MAX_LOG_BYTES)
            told = reply.headers.get("X-Next-Offset", "")
            was_complete = reply.headers.get("X-Log-Complete", "").lower() == "true"
        is_cut = len(content) == _MAX_LOG_BYTES
        end = offset + len(content)
        return LogPart(
            content=content,
            next_offset=int(told) if told.isascii() and told.isdigit() and int(told) >= end and not is_cut else end,
            is_complete=was_complete and not is_cut,
        )

    @contextmanager
    def artifact_content(self, run_id: str, artifact_id: str) -> Iterator[Iterator[bytes]]:
        """Stream an artifact's bytes; the caller bounds and checks them."""
        path = f"{_run_path(run_id)}/artifacts/{quote(artifact_id, safe='')}/content"
        with self._reply("GET", path) as reply:
            yield reply.iter_bytes()

    def retry(self, run_id: str, order: Mapping[str, object]) -> Document:
        """Retry a run; never repeated by itself, since a second retry would be refused after a lost answer."""
        return self._run_document("POST", f"{_run_path(run_id)}/retry", body=order, repeatable=False)

    def cancel(self, run_id: str, order: Mapping[str, object]) -> Document:
        """Ask for a cancel; asking again is answered the same."""
        return self._run_document("POST", f"{_run_path(run_id)}/cancel", body=order)

    def _run_document(self, method: str, path: str, **options: Unpack[_Options]) -> Document:
        document = self._document(method, path, **options)
        if not raw_text(document.get("id")):
            raise self._unreachable(_STRANGE)
        return document

    def _document(self, method: str, path: str, **options: Unpack[_Options]) -> Document:
        with self._reply(method, path, **options) as reply:
            content = _first_bytes(reply, _MAX_DOCUMENT_BYTES + 1)
        document = _parsed(content) if len(content) <= _MAX_DOCUMENT_BYTES else None
        if document is None:
            raise self._unreachable(_STRANGE)
        return document

    @contextmanager
    def _reply(self, method: str, path: str, **options: Unpack[_Options]) -> Iterator[httpx.Response]:
        request = self._http.build_request(
            method,
            path,
            params=list(options.get("query", ())),
            json=options.get("body"),
            headers=options.get("headers"),
        )
        reply = self._send(request, repeatable=options.get("repeatable", True))
        try:
            yield reply
        except httpx.RequestError as error:
            what = f"broke off its answer ({type(error).__name__})"
            raise self._unreachable(what) from error
        finally:
            reply.close()

    def _send(self, request: httpx.Request, *, repeatable: bool) -> httpx.Response:
        """Return a good reply whose body is still to be read; a lost answer is asked for again where that is safe."""
        pauses = iter(_PAUSES if repeatable else ())
        while True:
            try:
                return self._send_once(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                what = f"cannot be reached: {error}"
                raise self._unreachable(what) from error
            except httpx.RequestError as error:
                wait = next(pauses, None)
                if wait is None:
                    raise self._lost(error, repeatable=repeatable) from error
                self._pause(wait)

    def _send_once(self, request: httpx.Request) -> httpx.Response:
        reply = self._http.send(request, stream=True)
        if reply.is_success:
            return reply
        try:
            content = _first_bytes(reply, _MAX_DOCUMENT_BYTES)
        finally:
            reply.close()
        refusal = refusal_of(reply.status_code, _parsed(content))
        raise refusal or self._unreachable(f"answers {reply.status_code} without the words of this service")

    def _lost(self, error: httpx.RequestError, *, repeatable: bool) -> WorkflowError:
        what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "dropped the connection"
        unknown = "" if repeatable else ", and it is not known whether it took the request"
        return self._unreachable(f"{what}{unknown}")

    def _unreachable(self, what: str) -> WorkflowError:
        return WorkflowError(FailureCode.SERVER_UNREACHABLE, f"{self._server.url} {what}.")


def _run_path(run_id: str) -> str:
    return f"/runs/{quote(run_id, safe='')}"


def _first_bytes(reply: httpx.Response, limit: int) -> bytes:
    content = bytearray()
    for chunk in reply.iter_bytes():
        content += chunk[: limit - len(content)]
        if len(content) >= limit:
            break
    return bytes(content)


def _parsed(content: bytes) -> Document | None:
    """Return the JSON object in the bytes, None where there is none."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
