"""Tool calls of MCP: the spans of `mcp` (2.3) know neither arguments nor results, a client's nor that the tool failed.

The server's span is open while the tool runs, so both are set on it there. The client's ends before anybody outside of
`mcp` has seen the result, so of a tool call it is made here, as `mcp` makes it, and ended a moment later.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import INVALID_SPAN, StatusCode, get_current_span, get_tracer, use_span

from clew import _content, _guard, _semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Span

_METHOD = "tools/call"
_DOING = "recording a tool call over MCP"


class _Call:
    """A tool call that is sent to a server."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.span: Span = INVALID_SPAN


_sending: ContextVar[_Call | None] = ContextVar("clew_mcp_call", default=None)


def fill() -> None:
    """Has both sides record them, as far as this version of `mcp` is made as those that are known."""
    from mcp.server import _otel as server
    from mcp.shared import jsonrpc_dispatcher as client

    places: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (server.OpenTelemetryMiddleware, "__call__", _answered),
        (client, "otel_span", _kept_open),
        (client.JSONRPCDispatcher, "send_raw_request", _sent),
    )
    found = [(owner, name, make(getattr(owner, name))) for owner, name, make in places]
    for owner, name, made in found:
        setattr(owner, name, made)


def _answered(answer: Callable[..., Any]) -> Callable[..., Any]:
    """The server's middleware, which makes the span of a request."""

    @wraps(answer)
    async def recorded(self: Any, context: Any, call_next: Callable[..., Any]) -> Any:
        async def with_content(context: Any) -> Any:
            span = get_current_span()
            _take_arguments(span, context.params)
            result = await call_next(context)
            _take_result(span, result)
            return result

        return await answer(self, context, with_content if context.method == _METHOD else call_next)

    return recorded


def _sent(send: Callable[..., Any]) -> Callable[..., Any]:
    """The client's sending of a request, which returns the result."""

    @wraps(send)
    async def recorded(self: Any, method: str, params: Mapping[str, Any] | None, *args: Any, **kwargs: Any) -> Any:
        if method != _METHOD:
            return await send(self, method, params, *args, **kwargs)
        call = _Call(params or {})
        token = _sending.set(call)
        try:
            result = await send(self, method, params, *args, **kwargs)
            _take_result(call.span, result)
            if isinstance(result, Mapping) and result.get("isError") is True:
                call.span.set_attribute(_semconv.ERROR_TYPE, "tool_error")
                call.span.set_status(StatusCode.ERROR)
            return result
        finally:
            _sending.reset(token)
            call.span.end()

    return recorded


def _kept_open(otel_span: Callable[..., Any]) -> Callable[..., Any]:
    """What makes the client's span of a request; that of a tool call stays open when it is left."""
    tracer = get_tracer("mcp-python-sdk")

    @wraps(otel_span)
    @contextmanager
    def span_of_request(name: str, **given: Any) -> Iterator[Span]:
        call = _sending.get()
        if call is None or call.span is not INVALID_SPAN:  # what is sent meanwhile is another request
            with otel_span(name, **given) as span:
                yield span
            return
        attributes = {**(given.get("attributes") or {}), _semconv.GEN_AI_OPERATION_NAME: "execute_tool"}
        if isinstance(tool := call.params.get("name"), str):
            attributes[_semconv.GEN_AI_TOOL_NAME] = tool
        call.span = tracer.start_span(name, **{**given, "attributes": attributes})
        _take_arguments(call.span, call.params)
        with use_span(call.span):
            yield call.span

    return span_of_request


def _take_arguments(span: Span, params: Any) -> None:
    if isinstance(params, Mapping):
        _record(span, _semconv.GEN_AI_TOOL_CALL_ARGUMENTS, params.get("arguments") or {})


def _take_result(span: Span, result: Any) -> None:
    """What is meant for the model; data of the same meaning where there is nothing else."""
    told = result if isinstance(result, Mapping) else getattr(result, "__dict__", {})
    if (content := told.get("content") or told.get("structuredContent")) is not None:
        _record(span, _semconv.GEN_AI_TOOL_CALL_RESULT, content)


def _record(span: Span, name: str, value: Any) -> None:
    try:
        if _content.is_recorded(_content.ContentClass.TOOLS) and span.is_recording():
            span.set_attribute(name, _content.to_json(value))
    except Exception as error:
        _guard.failed(_DOING, error)
