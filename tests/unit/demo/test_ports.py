"""Ports: the defaults where they are free, else the next three together."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from clew.demo.errors import DemoError
from clew.demo.processor import Ports, free_ports


@pytest.fixture
def base() -> Ports:
    """Three ports that nothing listened on a moment ago, and that are free twenty higher as well."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        ports = Ports(port, port + 1, port + 2)
        if port < 64_000 and all(ports.shifted(by).are_free() for by in (0, 10, 20)):
            return ports


def listen(stack: ExitStack, port: int) -> None:
    listener = stack.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()


def test_free_defaults_are_taken(base):
    assert free_ports(base) == base


def test_one_taken_port_moves_all_three(base):
    with ExitStack() as stack:
        listen(stack, base.query)
        listen(stack, base.shifted(10).grpc)
        assert free_ports(base) == base.shifted(20)


def test_no_free_ports_says_what_to_do(base, monkeypatch):
    monkeypatch.setattr(Ports, "are_free", lambda _: False)
    with pytest.raises(DemoError, match="stop what listens there"):
        free_ports(base)
