"""The query endpoint over a ClickHouse server: queries are passed on to its HTTP interface, read-only.

The server itself holds ``readonly = 1`` and the limits, sent with every query; what its user may see is for its grants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import urllib3
from starlette.responses import StreamingResponse

from clew_processor.query.failure import QueryFailure
from clew_processor.query.http import alive, application, is_greeting, refusal
from clew_processor.query.request import QueryRequest, read_request
from clew_processor.query.settings import ROW_FILTERS, QuerySettings, engine_settings
from clew_processor.query.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

#: Scheme of the DSN -> that of the server's URL, and its usual port.
_SCHEMES = {"clickhouse": ("http", 8123), "clickhouses": ("https", 8443)}
_PIECE_BYTES = 1 << 18
_CONNECT_TIMEOUT_S = 10
#: Seconds the server may be silent beyond the time a query may take.
_GRACE_S = 10

#: Headers of the server's answer that go on to the client.
_PASSED_HEADERS = ("content-type", "content-encoding", "retry-after")


class _Server:
    """A ClickHouse server's HTTP interface."""

    def __init__(self, dsn: str, database: str, settings: QuerySettings) -> None:
        address = urlsplit(dsn)
        if address.scheme not in _SCHEMES or not address.hostname:
            raise ValueError(
                f"The store's DSN must be clickhouse://user:pw@host:8123/db (or clickhouses:), not {_masked(address)}"
            )
        scheme, port = _SCHEMES[address.scheme]
        self._url = f"{scheme}://{address.hostname}:{address.port or port}/"
        self._database = database
        user, password = unquote(address.username or "default"), unquote(address.password or "")
        self._auth = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        self._settings = settings
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=settings.max_execution_time_s + _GRACE_S or None)
        self._pool = urllib3.PoolManager(maxsize=settings.max_concurrent, timeout=timeout, retries=False)

    def ask(self, query: QueryRequest) -> urllib3.BaseHTTPResponse:
        """Send a query and wait for the head of the answer.

        Raises:
            QueryFailure: a setting may not be changed (164), or the server cannot be reached (210).
        """
        settings = engine_settings(self._settings, query.settings)
        del settings["max_threads"]  # its default is made for this machine
        fields = settings | {f"param_{name}": value for name, value in query.parameters.items()}
        if ROW_FILTERS in query.settings:
            fields[ROW_FILTERS] = query.settings[ROW_FILTERS]
        fields |= {
            "cancel_http_readonly_queries_on_client_close": "1",
            "client_protocol_version": str(query.protocol),
            "compress": str(int(query.blocks)),
            "database": query.database or self._database,
            "default_format": query.format,
            "enable_http_compression": str(int(query.encoding is not None)),
            "query_id": query.query_id,
            "readonly": "1",
            "wait_end_of_query": str(int(query.whole)),
        }
        headers = self._auth | {
            "Accept-Encoding": query.encoding or "identity",
            "Content-Type": "text/plain; charset=UTF-8",
        }
        url = f"{self._url}?{urlencode(fields)}"
        try:
            return self._pool.request("POST", url, body=query.sql.encode(), headers=headers, preload_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise QueryFailure(
                210, "NETWORK_ERROR", f"The ClickHouse server at {self._url} does not answer: {error}"
            ) from None


class _PassedOn:
    """Passes one request on and streams the answer back. An ASGI application for that one request."""

    def __init__(self, server: _Server, turns: Turns, query: QueryRequest) -> None:
        self._server = server
        self._turns = turns
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._turns.turn():
                answer = await self._turns.call(lambda: self._server.ask(self._query))
                headers = {
                    name: value
                    for name, value in answer.headers.items()
                    if name.lower().startswith("x-clickhouse-") or name.lower() in _PASSED_HEADERS
                }
                await StreamingResponse(self._pieces(answer), answer.status, headers)(scope, receive, send)
        except QueryFailure as failure:
            await refusal(failure, "unknown", self._query)(scope, receive, send)

    async def _pieces(self, answer: urllib3.BaseHTTPResponse) -> AsyncIterator[bytes]:
        try:
            while piece := await self._turns.call(lambda: answer.read(_PIECE_BYTES, decode_content=False)):
                yield piece
            answer.release_conn()
        finally:
            answer.close()  # before the end of the answer: the server stops the query


def passthrough_app(dsn: str, database: str, settings: QuerySettings) -> Starlette:
    """ClickHouse's HTTP interface, read-only, over a ClickHouse server.

    Args:
        dsn: ``clickhouse://user:pw@host:8123/db``, or ``clickhouses://`` for TLS.
        database: where unqualified names are looked for.
        settings: what queries may use.

    Returns:
        An ASGI application with the routes of `query_app`.

    Raises:
        ValueError: the DSN is of another kind.
    """
    server = _Server(dsn, database, settings)
    turns = Turns(settings)

    async def answer(request: Request) -> ASGIApp:
        if is_greeting(request):
            return await alive(request)
        try:
            query = await read_request(request, settings.max_query_bytes)
        except QueryFailure as failure:
            return refusal(failure, "unknown", None)
        return _PassedOn(server, turns, query)

    return application(answer, turns)


def _masked(address: SplitResult) -> str:
    return f"{address.scheme}://{address.hostname or ''}{address.path}"
