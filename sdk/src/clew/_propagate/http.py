"""Requests to the programme's own hosts hand the run on; requests to anybody else never do.

A sub-agent behind HTTP is a host of the programme's own; a model provider is not, and must not be told who the user is.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from fnmatch import fnmatch
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clew import _guard
from clew._propagate import carrier as _carrier
from clew._propagate.patches import patch

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from contextlib import AbstractContextManager

_own_hosts: tuple[str, ...] = ()


def set_own_hosts(hosts: tuple[str, ...]) -> None:
    """Sets which hosts are the programme's own, besides this machine: names, or patterns such as `*.internal`."""
    global _own_hosts  # noqa: PLW0603  # one process, one setting
    _own_hosts = hosts


def is_own(host: str | None) -> bool:
    """Whether a host is the programme's own."""
    name = (host or "").lower().strip("[]").rstrip(".")
    return _is_this_machine(name) or any(fnmatch(name, pattern) for pattern in _own_hosts)


def _is_this_machine(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def hook_httpx() -> None:
    """Has httpx's clients hand the run on."""
    _hook_clients(sys.modules["httpx"])


def hook_httpx2() -> None:
    """Has httpx2's clients hand the run on."""
    _hook_clients(sys.modules["httpx2"])


def hook_requests() -> None:
    """Has requests' sessions hand the run on."""
    patch(sys.modules["requests"].Session, "send", _send_with_requests)


def _hook_clients(module: Any) -> None:
    # Each request on its way, those after a redirect among them: `send` would take the headers to the next host.
    patch(module.Client, "_send_single_request", _send)
    patch(module.AsyncClient, "_send_single_request", _send_async)


def _send(send: Callable[..., Any]) -> Callable[..., Any]:
    def send_in_run(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        with _addressed(request.url.host, request.headers):
            return send(self, request, *args, **kwargs)

    return send_in_run


def _send_async(send: Callable[..., Any]) -> Callable[..., Any]:
    async def send_in_run(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        with _addressed(request.url.host, request.headers):
            return await send(self, request, *args, **kwargs)

    return send_in_run


def _send_with_requests(send: Callable[..., Any]) -> Callable[..., Any]:
    def send_in_run(self: Any, request: Any, **kwargs: Any) -> Any:
        with _addressed(urlsplit(request.url or "").hostname, request.headers):
            return send(self, request, **kwargs)

    return send_in_run


def _addressed(host: str | None, headers: MutableMapping[str, str]) -> AbstractContextManager[None]:
    """Adds the run to the headers of a request to a host of the programme's own; takes it out of any other's."""
    try:
        carrier = _carrier.outgoing()
        if not carrier:
            return nullcontext()
        if not is_own(host):
            for name, value in carrier.items():
                if headers.get(name) == value:  # a host of our own has redirected here
                    del headers[name]
            return nullcontext()
        for name, value in carrier.items():
            headers.setdefault(name, value)
    except Exception as error:
        _guard.failed("handing a run on to a host", error)
        return nullcontext()
    return _carrier.to_own()  # for OpenTelemetry's own instrumentation of the client, which writes the headers anew
