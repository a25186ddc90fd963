"""A scripted model server: speaks the OpenAI and Anthropic APIs over HTTP and keeps its own ledger.

The official clients talk to it as they talk to the real thing, so their real instrumentations run. It thinks
nothing: each run has a script, and the next request of that run gets the next answer in it. The ledger of
what was served is the truth that recorded spans, tokens and costs are compared with.

    with ModelServer({"greeting": (Reply(Tokens(input=12, output=3), text="Hello!"),)}) as server:
        client = OpenAI(base_url=server.openai_base_url("greeting"), api_key="any")
        ...
        server.served  # one `Served` per request
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from clew.demo.script import Failure, Reply, Scripts, Served
from clew.demo.wire import APIS, Answer, Api, make_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from starlette.requests import Request

# Of the time a reply takes, the share before the first streamed word; the rest is spread over the words.
_SHARE_BEFORE_FIRST_WORD = 0.4


class ModelServer:
    """The scripted server on a free local port, in a thread of its own; a context manager.

    A run is chosen by the first part of the URL's path, so runs that go on at the same time do not mix. A run
    that asks for more than its script holds gets an error 400 that says so, and its client raises.

    Args:
        scripts: The answers of each run, by the run's name.
        pace: Factor on the seconds each reply takes: 1 as scripted, 0 at once.
    """

    def __init__(self, scripts: Scripts, *, pace: float = 1.0) -> None:
        self._scripts = scripts
        self._pace = pace
        self._lock = threading.Lock()
        self._position = dict.fromkeys(scripts, 0)
        self._served: list[Served] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        routes = [Route(f"/{{run}}{api.path}", _endpoint(self, api), methods=["POST"]) for api in APIS]
        config = uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="clew-model-server", daemon=True)

    def __enter__(self) -> Self:
        # Listening before the thread runs: a client that comes early waits in the backlog instead of failing.
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a run."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def openai_base_url(self, run: str) -> str:
        """The `base_url` for an OpenAI client that plays this run."""
        return f"{self.url}/{run}/v1"

    def anthropic_base_url(self, run: str) -> str:
        """The `base_url` for an Anthropic client that plays this run; it adds `/v1/messages` by itself."""
        return f"{self.url}/{run}"

    @property
    def served(self) -> list[Served]:
        """Everything served so far, in order of arrival; answers and failures alike."""
        with self._lock:
            return list(self._served)

    def unserved(self) -> dict[str, int]:
        """How many answers of each run's script nobody has asked for; runs played to the end are left out."""
        with self._lock:
            left = {run: len(script) - self._position[run] for run, script in self._scripts.items()}
        return {run: count for run, count in left.items() if count}

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    async def answer(self, api: Api, run: str, request: dict[str, Any]) -> Response:
        """The next scripted answer of the run, in the API's words, streamed if the request says so."""
        model = str(request.get("model", ""))
        with self._lock:
            scripted = self._next(run)
            if isinstance(scripted, Failure):
                self._served.append(Served(run, api.name, model, "", "", (), False, False, scripted))
                return _failure_response(api, scripted)
            answer = make_answer(api, scripted, model)
            streams = bool(request.get("stream"))
            usage_sent = api.usage_is_sent(request)
            self._served.append(
                Served(
                    run,
                    api.name,
                    model,
                    answer.model,
                    answer.id,
                    answer.call_ids,
                    streams,
                    usage_sent,
                    scripted,
                )
            )
        if streams:
            return StreamingResponse(self._stream(api, answer, request), media_type="text/event-stream")
        await asyncio.sleep(scripted.seconds * self._pace)
        return JSONResponse(api.body(answer))

    def _next(self, run: str) -> Reply | Failure:
        if run not in self._scripts:
            return Failure(404, f"no script named {run!r}; there are {sorted(self._scripts)}")
        script, position = self._scripts[run], self._position[run]
        if position == len(script):
            return Failure(400, f"the script of run {run!r} has only {position} answers and all were served")
        self._position[run] += 1
        return script[position]

    async def _stream(self, api: Api, answer: Answer, request: dict[str, Any]) -> AsyncIterator[str]:
        events = list(api.events(answer, request))
        seconds = answer.reply.seconds * self._pace
        await asyncio.sleep(seconds * _SHARE_BEFORE_FIRST_WORD)
        for event in events:
            yield event
            await asyncio.sleep(seconds * (1 - _SHARE_BEFORE_FIRST_WORD) / len(events))


def _endpoint(server: ModelServer, api: Api) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        return await server.answer(api, request.path_params["run"], await request.json())

    return endpoint


def _failure_response(api: Api, failure: Failure) -> Response:
    headers = {"x-should-retry": "false"}
    if failure.retry_after is not None:
        # Both clients read the milliseconds first; the standard header knows whole seconds only.
        headers = {
            "retry-after-ms": str(math.ceil(failure.retry_after * 1000)),
            "retry-after": str(math.ceil(failure.retry_after)),
        }
    return JSONResponse(api.error(failure), status_code=failure.status, headers=headers)
