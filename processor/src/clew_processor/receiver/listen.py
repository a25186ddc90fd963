"""Taking an address to listen on, or saying why it cannot be had."""

from __future__ import annotations

import socket

from clew_processor.errors import StartError

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel lowers it to its own limit."""


def listening(address: str, key: str) -> socket.socket:
    """A socket that listens.

    It listens at once: of two processors that only bind the same address both would succeed.

    Args:
        address: HOST:PORT; port 0 takes a free one.
        key: the setting that holds it, which is also its flag.

    Raises:
        StartError: naming the setting and the address.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited; else small answers wait 40 ms for an ACK
    try:
        sock.bind((host.strip("[]"), int(port)))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise StartError(
            f"{key}: cannot listen on {address}: {error.strerror or error}; choose another with --{key} HOST:PORT"
        ) from error
    return sock


def address_of(sock: socket.socket, setting: str) -> str:
    """The setting's HOST:PORT with the port that the socket really has."""
    return f"{setting.rpartition(':')[0]}:{sock.getsockname()[1]}"
