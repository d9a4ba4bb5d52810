"""Write one log line per event: JSON for machines, text on a terminal, run and stage bound."""

import logging
import sys
from typing import TextIO

import structlog


def configure_logging(*, form: str, level: str, stream: TextIO | None = None) -> None:
    """
    Set up structlog and route the standard library's records through it.

    `form` is `json`, `text`, or `auto`: text on a terminal, else JSON. Repeating it is safe.
    """
    stream = stream or sys.stderr
    text = form == "text" or (form == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(shared, text=text, colours=text and stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("kombu", "amqp", "celery.utils", "httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _formatter(
    shared: list[structlog.typing.Processor], *, text: bool, colours: bool
) -> structlog.stdlib.ProcessorFormatter:
    if text:
        final: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(colors=colours)]
    else:
        final = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
    )
