"""What the endpoints over an embedded and over a server store have in common on the HTTP side."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from clew_processor.query import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from clew_processor.query.failure import QueryFailure
    from clew_processor.query.request import QueryRequest
    from clew_processor.query.turns import Turns


def application(answer: Callable[..., object], turns: Turns) -> Starlette:
    """The routes of ClickHouse's HTTP interface.

    Args:
        answer: the endpoint for queries.
        turns: end with the application.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await turns.close()

    routes = [Route("/", answer, methods=["GET", "POST"]), Route("/ping", alive, methods=["GET"])]
    return Starlette(routes=routes, lifespan=lifespan)


async def alive(_request: Request) -> Response:
    """What a ClickHouse server answers to show that it lives."""
    return PlainTextResponse("Ok.\n")


def is_greeting(request: Request) -> bool:
    """Whether a request asks nothing: ``GET /`` is answered like a ping."""
    return request.method == "GET" and "query" not in request.query_params


def refusal(failure: QueryFailure, version: str, query: QueryRequest | None) -> Response:
    """An error as a ClickHouse server of this version sends it; ``query`` is None where it could not be read."""
    body = failure.body(version)
    headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(failure.code)}
    if query is not None:
        headers["X-ClickHouse-Query-Id"] = query.query_id
        if query.blocks:
            body = wire.CompressedBlocks().encode(body)
    return Response(body, failure.status, headers)
