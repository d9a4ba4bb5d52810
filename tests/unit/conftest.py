"""Keep unit tests off the network: what needs a socket is an integration test."""

import socket

import pytest


class NetworkRefusedError(AssertionError):
    """A unit test tried to open a socket."""


class _LocalSocket(socket.socket):
    # Event loops wake themselves through a pair of unix sockets, so those stay open.
    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the name that socket gives it
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        if fileno is None and family != socket.AF_UNIX:
            message = "unit tests open no sockets; move the test to tests/integration"
            raise NetworkRefusedError(message)
        super().__init__(family, type, proto, fileno)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", _LocalSocket)
