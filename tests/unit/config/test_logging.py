"""A log line is one JSON object, and no secret gets into it."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from moonmind.config.logging import configure_logging
from moonmind.config.settings import read_settings

SECRET = "pa55-w0rd-of-the-database"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def configured(form: str) -> io.StringIO:
    stream = io.StringIO()
    environment = {"MOONMIND_LOG_FORMAT": form, "DATABASE_URL": f"postgresql+psycopg://mm:{SECRET}@db/mm"}
    configure_logging(read_settings(environment, config_file=Path("absent.toml")), stream=stream)
    return stream


def test_each_line_is_a_json_object_with_what_was_bound() -> None:
    stream = configured("json")
    with structlog.contextvars.bound_contextvars(run="r1", stage="submit"):
        structlog.get_logger("moonmind").info("stage_started", attempt=2)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["run"], line["stage"], line["attempt"]) == ("stage_started", "r1", "submit", 2)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_is_taken_out_of_fields_and_tracebacks(form: str) -> None:
    stream = configured(form)
    try:
        int(SECRET)
    except ValueError:
        structlog.get_logger("moonmind").exception("failed", url=f"postgresql://mm:{SECRET}@db/mm")
    logging.getLogger("elsewhere").warning("connecting with %s", SECRET)
    assert stream.getvalue()
    assert SECRET not in stream.getvalue()
