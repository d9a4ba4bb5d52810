"""Hold what the verbs need from outside - the service, the clock, the terminal - so that tests hand in their own."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

import click

from moonmind.cli.client import ServiceClient
from moonmind.config.client import Terminal, describe_terminal, find_server


def _connect() -> ServiceClient:
    return ServiceClient(find_server())


def _now() -> datetime:
    return datetime.now(UTC)


def _new_key() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Surroundings:
    """Collaborators of a verb; the defaults are the real ones."""

    connect: Callable[[], ServiceClient] = _connect
    pause: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = _now
    new_key: Callable[[], str] = _new_key
    terminal: Callable[[TextIO], Terminal] = describe_terminal


def surroundings() -> Surroundings:
    """Return what the caller of the command handed in, else the real ones."""
    return click.get_current_context().ensure_object(Surroundings)
