"""The query endpoint over the embedded store, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response

from clew_processor.query import wire
from clew_processor.query.engine import Engine, Run
from clew_processor.query.failure import QueryFailure
from clew_processor.query.http import alive, application, is_greeting, refusal
from clew_processor.query.request import QueryRequest, read_request
from clew_processor.query.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from clew_processor.query.settings import QuerySettings

T = TypeVar("T")

#: Bytes of a result that are held back, so that an error among them still gets an error's status.
_HELD_BYTES = 1 << 20
#: The same for clients that want the whole result or an error (``wait_end_of_query=1``). Longer ones are streamed.
_HELD_WHOLE_BYTES = 32 << 20
#: Seconds between two attempts to cancel a query whose client is gone: it may not have reached the engine yet.
_CANCEL_PERIOD_S = 0.2

#: Content type by the start of the format's name; the first that fits.
_CONTENT_TYPES = (
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONCompactEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Pretty", "text/plain; charset=UTF-8"),
    ("Vertical", "text/plain; charset=UTF-8"),
    ("Values", "text/plain; charset=UTF-8"),
    ("Markdown", "text/markdown; charset=UTF-8"),
    ("", "application/octet-stream"),
)


class _ClientGoneError(Exception):
    """The client closed its connection, or takes nothing any more."""


class _Answer:
    """Runs the query of one request and sends what comes of it; ends the query when the client goes.

    An ASGI application for that one request.
    """

    def __init__(self, engine: Engine, turns: Turns, query: QueryRequest) -> None:
        self._engine = engine
        self._turns = turns
        self._query = query
        self._tag = secrets.token_hex(8)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with self._turns.turn():
                await self._run(gone, scope, receive, send)
        except QueryFailure as failure:
            refusal = await _refusal(self._engine, self._turns, failure, self._query)
            await refusal(scope, receive, send)
        except _ClientGoneError:
            pass  # nobody to tell
        finally:
            gone.cancel()

    async def _run(self, gone: asyncio.Task[None], scope: Scope, receive: Receive, send: Send) -> None:
        run = self._engine.start(self._query)
        try:
            held, ended = await self._step(run, gone, lambda: self._head(run))
            stream = self._encoded(run, held)
            if ended:
                # No pieces, no bytes: an empty body is how clients know a statement without a result.
                body = await self._step(run, gone, lambda: b"".join(stream)) if held else b""
                await Response(body, headers=self._headers(run))(scope, receive, send)
                return
            start = Response(headers=self._headers(run)).raw_headers
            head = [(name, value) for name, value in start if name != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            while (data := await self._step(run, gone, lambda: next(stream, None))) is not None:
                await self._send(send, data, more=True)
            await self._send(send, b"", more=False)
        finally:
            await asyncio.shield(self._turns.call(run.close))

    async def _step(self, run: Run, gone: asyncio.Task[None], work: Callable[[], T]) -> T:
        """Do the next step of a query in a thread. If the client goes meanwhile, end the query, and wait for that."""
        task = asyncio.ensure_future(self._turns.call(work))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _ClientGoneError
            return task.result()
        finally:
            while not task.done():
                with suppress(RuntimeError):
                    await self._turns.call(lambda: self._engine.cancel(run))
                await asyncio.wait({task}, timeout=_CANCEL_PERIOD_S)
            task.exception()  # taken note of; of a query that was ended it says just that

    def _head(self, run: Run) -> tuple[list[bytes], bool]:
        """Start the query; its first pieces, and whether they are all."""
        limit = _HELD_WHOLE_BYTES if self._query.whole else _HELD_BYTES
        run.open()
        held: list[bytes] = []
        size = 0
        for piece in run.pieces:
            held.append(piece)
            size += len(piece)
            if size > limit:
                return held, False
        return held, True

    def _encoded(self, run: Run, held: list[bytes]) -> Iterator[bytes]:
        """All pieces as they go on the wire; an error among them becomes a frame at the end."""
        encoder = self._query.encoder()
        try:
            for piece in chain(held, run.pieces):
                if data := encoder.encode(piece):
                    yield data
        except QueryFailure as failure:
            frame = wire.exception_frame(failure.body(self._engine.facts.version), self._tag)
            # Drivers look for the frame in what comes off the wire, so it does not go into a compressed block.
            yield frame if self._query.blocks else encoder.encode(frame)
        if rest := encoder.finish():
            yield rest

    async def _send(self, send: Send, body: bytes, *, more: bool) -> None:
        message = {"type": "http.response.body", "body": body, "more_body": more}
        try:
            await asyncio.wait_for(send(message), self._engine.limits.send_timeout_s)
        except TimeoutError:
            raise _ClientGoneError from None

    def _headers(self, run: Run) -> dict[str, str]:
        facts = self._engine.facts
        query = self._query
        summary = {
            "read_rows": run.read_rows, "read_bytes": run.read_bytes, "written_rows": 0, "written_bytes": 0,
            "total_rows_to_read": 0, "result_rows": run.result_rows, "result_bytes": 0,
        }  # fmt: skip
        headers = {
            "Content-Type": next(kind for start, kind in _CONTENT_TYPES if run.format.startswith(start)),
            "X-ClickHouse-Exception-Tag": self._tag,
            "X-ClickHouse-Format": run.format,
            "X-ClickHouse-Query-Id": query.query_id,
            "X-ClickHouse-Server-Display-Name": facts.display_name,
            "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()}),
            "X-ClickHouse-Timezone": query.settings.get("session_timezone") or facts.timezone,
        }
        return headers | ({"Content-Encoding": query.encoding} if query.encoding and not query.blocks else {})


def query_app(data_dir: Path, database: str, settings: QuerySettings) -> Starlette:
    """ClickHouse's HTTP interface, read-only, over the embedded store.

    The processor must have the store open in this process already. Serve it with a keep-alive of more than the five
    minutes that clients' connection pools count on.

    Args:
        data_dir: the embedded store's directory.
        database: its database.
        settings: what queries may use.

    Returns:
        An ASGI application: ``GET`` and ``POST`` on ``/``, and ``/ping``.
    """
    engine = Engine(data_dir, database, settings)
    turns = Turns(settings)

    async def answer(request: Request) -> ASGIApp:
        if is_greeting(request):
            return await alive(request)
        try:
            query = await read_request(request, settings.max_query_bytes)
        except QueryFailure as failure:
            return await _refusal(engine, turns, failure, None)
        return _Answer(engine, turns, query)

    return application(answer, turns)


async def _refusal(engine: Engine, turns: Turns, failure: QueryFailure, query: QueryRequest | None) -> Response:
    facts = await turns.call(lambda: engine.facts)
    return refusal(failure, facts.version, query)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
