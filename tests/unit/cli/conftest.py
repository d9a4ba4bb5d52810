"""Run the command in this process against the in-memory API, on a clock that moves only while a verb waits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import httpx
import pytest
from click.testing import CliRunner, Result

from moonmind.cli.client import ServiceClient
from moonmind.cli.main import moonmind
from moonmind.cli.surroundings import Surroundings
from moonmind.config.client import Server, Terminal
from moonmind.testing.api import NOW, TOKEN, InMemoryApi


class StillWaitingError(AssertionError):
    """A verb waits although the test has nothing more to happen."""


@dataclass
class Clock:
    """Time for one command; each pause lets the next of the arranged things happen."""

    time: datetime = NOW
    happenings: list[Callable[[], object]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def pause(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.pauses.append(seconds)
        if not self.happenings:
            message = "nothing more will happen"
            raise StillWaitingError(message)
        self.happenings.pop(0)()


class Command(Protocol):
    def __call__(self, *arguments: str, width: int = 100, token: str = TOKEN) -> Result: ...


@pytest.fixture
def api() -> InMemoryApi:
    return InMemoryApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(api: InMemoryApi, clock: Clock) -> ServiceClient:
    return client_of(api, clock)


@pytest.fixture
def moon(api: InMemoryApi, clock: Clock) -> Command:
    """Call the command as an operator would; returns its output and exit code."""

    def call(*arguments: str, width: int = 100, token: str = TOKEN) -> Result:
        around = Surroundings(
            connect=lambda: client_of(api, clock, token=token),
            pause=clock.pause,
            now=clock.now,
            new_key=lambda: "a-new-key",
            terminal=lambda _stream: Terminal(is_live=False, has_color=False, width=width),
        )
        result = CliRunner().invoke(moonmind, arguments, obj=around, prog_name="moonmind")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def client_of(api: InMemoryApi, clock: Clock, *, token: str = TOKEN) -> ServiceClient:
    server = Server("http://service.test", token)
    return ServiceClient(server, transport=httpx.MockTransport(api.answer), pause=clock.pause)
