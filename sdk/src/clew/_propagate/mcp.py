"""MCP servers join the run: the official `mcp` package hands the trace on by itself, and here learns what else goes.

From version 2 on its client writes `traceparent`, `tracestate` and `baggage` into `params._meta` of every request, by
the global propagator, and its server reads them. The server has spans of notifications, too, so they are written into
these here. Conversation, user, budget and agent are added for servers that are the programme's own: those it starts
over stdio, and those on its own hosts.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from clew import _guard
from clew._propagate import carrier, http
from clew._propagate.patches import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

_NOTIFICATIONS = frozenset({"notifications/initialized", "notifications/roots/list_changed"})
"""What clients tell servers unasked."""

_own_streams: set[int] = set()  # ids of the streams on which requests go to such servers, while they are open


def hook_mcp() -> None:
    """Has the transports note whose server it is, and requests say so to the propagator."""
    transports: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], bool]] = {
        "mcp.client.stdio.stdio_client": lambda _args, _kwargs: True,
        "mcp.client.streamable_http.streamable_http_client": _is_own_url,
        "mcp.client.sse.sse_client": _is_own_url,
    }
    for path, is_own in transports.items():
        module, _, name = path.rpartition(".")
        original = getattr(sys.modules.get(module), name, None)
        if original is None:
            continue
        for other in [module for key, module in sys.modules.items() if key.partition(".")[0] == "mcp"]:
            if vars(other).get(name) is original:  # each module has imported it by name
                patch(other, name, _noting(is_own))
    dispatcher = getattr(sys.modules.get("mcp.shared.jsonrpc_dispatcher"), "JSONRPCDispatcher", None)
    if dispatcher is not None:
        patch(dispatcher, "send_raw_request", _send)
        patch(dispatcher, "notify", _notify)


def _is_own_url(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    from urllib.parse import urlsplit

    return http.is_own(urlsplit(str(args[0] if args else kwargs.get("url", ""))).hostname)


def _noting(is_own: Callable[[tuple[Any, ...], dict[str, Any]], bool]) -> Callable[..., Any]:
    def make(transport: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            opened = transport(*args, **kwargs)
            try:
                return _Noted(opened) if is_own(args, kwargs) else opened
            except Exception as error:
                _guard.failed("handing a run on to an MCP server", error)
                return opened

        return noted

    return make


class _Noted:
    """A transport's context manager that notes the stream requests go out on."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._stream: int | None = None

    async def __aenter__(self) -> Any:
        streams = await self._transport.__aenter__()
        try:
            self._stream = id(streams[1])
            _own_streams.add(self._stream)
        except Exception as error:
            _guard.failed("handing a run on to an MCP server", error)
        return streams

    async def __aexit__(self, *error: object) -> Any:
        if self._stream is not None:
            _own_streams.discard(self._stream)
        return await self._transport.__aexit__(*error)


def _send(send: Callable[..., Any]) -> Callable[..., Any]:
    async def send_in_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _to(self):
            return await send(self, *args, **kwargs)

    return send_in_run


def _notify(notify: Callable[..., Any]) -> Callable[..., Any]:
    async def notify_in_run(self: Any, method: str, params: Any, *args: Any, **kwargs: Any) -> Any:
        told = _with_run(self, params) if method in _NOTIFICATIONS else params
        return await notify(self, method, told, *args, **kwargs)

    return notify_in_run


def _with_run(dispatcher: Any, params: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    from opentelemetry import propagate  # which raises where OTEL_PROPAGATORS names one that is not installed

    try:
        told = params or {}
        meta = dict(told.get("_meta") or {})
        with _to(dispatcher):
            propagate.inject(meta)
        return {**told, "_meta": meta} if meta else params
    except Exception as error:
        _guard.failed("handing a run on to an MCP server", error)
        return params


def _to(dispatcher: Any) -> AbstractContextManager[None]:
    own = id(getattr(dispatcher, "_write_stream", None)) in _own_streams
    return carrier.to_own() if own else nullcontext()
