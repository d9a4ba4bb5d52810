"""Refuse messages that nobody can understand: count them, log them without their content, and go on."""

import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import InvalidTaskError
from celery.worker.consumer import Consumer
from kombu.exceptions import ContentDisallowed, DecodeError

from moonmind.domain.claims import StageMessage
from moonmind.domain.ports import Metrics
from moonmind.domain.states import Stage

_log = structlog.get_logger(__name__)
# kombu asks for one of these, in case the broker is away when it rejects.
_celery_log = logging.getLogger(__name__)


class MalformedMessageError(Exception):
    """A message reached one of our tasks, but its arguments are not those of a stage."""


class UnknownTaskError(Exception):
    """A message names a task that is not one of ours."""


def read_message(stage: Stage, args: object, kwargs: object) -> StageMessage:
    """
    Return what a message asks for; further keywords belong to newer versions and are ignored.

    Raises `MalformedMessageError` in words that hold nothing of the message.
    """
    if not isinstance(kwargs, Mapping):
        message = "the arguments have no names"
        raise MalformedMessageError(message)
    run_id, epoch = kwargs.get("run_id"), kwargs.get("epoch")
    if args or not isinstance(run_id, str):
        message = "run_id is not given by its name, as text"
        raise MalformedMessageError(message)
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 1:
        message = "epoch is not a count"
        raise MalformedMessageError(message)
    try:
        return StageMessage(UUID(run_id), stage, epoch)
    except ValueError:
        message = "run_id is not a UUID"
        raise MalformedMessageError(message) from None


def refusing_consumer(metrics: Metrics, stages: Mapping[str, Stage]) -> type[Consumer]:
    """
    Return a consumer of these tasks' messages that survives whatever else is put into its queues.

    Celery's own lets some shapes of headers end the worker, and the broker would then deliver the
    message to the next one. What is refused is not queued again: none of it is ours, so no run
    loses anything. Celery's built-in tasks are refused too, since no stage needs them.
    """

    class RefusingConsumer(Consumer):
        def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
            handle = super().create_task_handler(*args, **kwargs)
            connection: Any = self.connection
            broker_errors = (*connection.connection_errors, *connection.channel_errors)

            def handle_or_refuse(message: Any) -> None:
                try:
                    _check(message, stages)
                    handle(message)
                except broker_errors:
                    raise
                # A process edge: what a stranger wrote must not end the worker.
                except Exception as error:  # noqa: BLE001
                    self._refuse(message, error)

            return handle_or_refuse

        def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
            self._refuse(message, exc)

        def _refuse(self, message: Any, error: Exception) -> None:
            reason = _REASONS.get(type(error), "unreadable")
            detail = str(error) if isinstance(error, MalformedMessageError) else type(error).__name__
            metrics.message_refused(reason)
            _log.error("message_refused", reason=reason, detail=detail)
            if not message.acknowledged:
                connection: Any = self.connection
                message.reject_log_error(_celery_log, connection.connection_errors)

    return RefusingConsumer


def _check(message: Any, stages: Mapping[str, Stage]) -> None:
    stage = stages.get(message.headers["task"])
    if stage is None:
        raise UnknownTaskError
    args, kwargs, _embed = message.payload
    read_message(stage, args, kwargs)


_REASONS: Mapping[type[Exception], str] = {
    ContentDisallowed: "forbidden_content",
    DecodeError: "undecodable",
    InvalidTaskError: "invalid_task",
    MalformedMessageError: "malformed",
    UnknownTaskError: "unknown_task",
}
