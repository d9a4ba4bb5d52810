"""Write one log line per event: JSON for machines, text on a terminal, run and stage bound."""

import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

import structlog

from moonmind.config.settings import Settings
from moonmind.telemetry.redaction import Redactor


def configure_logging(settings: Settings, *, stream: TextIO | None = None) -> None:
    """
    Set up structlog and route the standard library's records through it.

    Text on a terminal and JSON elsewhere, unless the settings say otherwise. Every finished
    line passes redaction, tracebacks too. Repeating it is safe.
    """
    stream = stream or sys.stderr
    level = settings.log_level
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    redact = Redactor(settings.secret_values).text
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
    handler.setFormatter(_formatter(shared, redact, text=text, colours=text and stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("kombu", "amqp", "celery.utils", "httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Takes secrets out of the finished line, where every field and traceback has become text."""

    def __init__(self, redact: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Render the record, then redact it."""
        return self._redact(super().format(record))


def _formatter(
    shared: list[structlog.typing.Processor], redact: Callable[[str], str], *, text: bool, colours: bool
) -> logging.Formatter:
    if text:
        final: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(colors=colours)]
    else:
        final = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return _RedactingFormatter(
        redact,
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
    )
