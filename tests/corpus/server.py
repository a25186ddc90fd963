"""A scripted model server that keeps a ledger and speaks six APIs.

OpenAI chat, responses and embeddings, Anthropic messages, Gemini, Bedrock Converse.

What it says is in `scenarios.py`; how OpenAI and Anthropic word it is the demo's business (`clew.demo.wire`), Gemini
and Bedrock are worded here. By hand, for a client in another language:

    python tests/corpus/server.py S4 --ledger /tmp/ledger.jsonl     # prints its URL, writes a line for each request
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import struct
import sys
import threading
import time
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from clew.demo.script import Failure, Reply, ToolCall
from clew.demo.wire import Answer, AnthropicMessages, OpenAIChat, OpenAIResponses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

try:
    from corpus import scenarios
except ImportError:  # run as a script
    import scenarios  # type: ignore[no-redef]

SNAPSHOTS = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "o4-mini": "o4-mini-2025-04-16",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}


def _pieces(text: str) -> Iterator[str]:
    """The text in a few pieces, as a stream brings it."""
    cuts = [0, *range(12, len(text), 24), len(text)]
    return (text[start:end] for start, end in pairwise(cuts) if end > start)


class Chat(OpenAIChat):
    """With the fields of a real answer that instrumentations read."""

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        return super().usage_is_sent(request) or str(request.get("model")).startswith("mistral")

    def _envelope(self, answer: Answer, kind: str) -> dict[str, Any]:
        return super()._envelope(answer, kind) | {"service_tier": "default", "system_fingerprint": "fp_8bda4d3a2c"}


class Messages(AnthropicMessages):
    """With a thinking block where the request asks for one."""

    thinks = False

    def body(self, answer: Answer) -> dict[str, Any]:
        whole = super().body(answer)
        if self.thinks:
            thought = {
                "type": "thinking",
                "thinking": "Train or plane? The train is cheaper.",
                "signature": "c2lnbmF0dXJl",
            }
            whole["content"] = [thought, *whole["content"]]
        return whole


class ThinkingMessages(Messages):
    thinks = True


class Gemini:
    """`POST .../models/{model}:generateContent` and `:streamGenerateContent`."""

    name = "gemini.generate_content"
    id_prefix = ""
    call_prefix = ""

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        return True

    def body(self, answer: Answer) -> dict[str, Any]:
        return self._part(answer, self._parts(answer), last=True)

    def events(self, answer: Answer, request: dict[str, Any]) -> Iterator[str]:
        parts = [{"text": piece} for piece in _pieces(answer.reply.text)] or self._parts(answer)
        for part in parts[:-1]:
            yield self._data(self._part(answer, [part], last=False))
        yield self._data(self._part(answer, parts[-1:], last=True))

    def error(self, failure: Failure) -> dict[str, Any]:
        status = "RESOURCE_EXHAUSTED" if failure.status == 429 else "INTERNAL"
        return {"error": {"code": failure.status, "message": failure.message, "status": status}}

    def _parts(self, answer: Answer) -> list[dict[str, Any]]:
        calls = [{"functionCall": {"name": c.name, "args": json.loads(c.arguments)}} for c in answer.reply.calls]
        return ([{"text": answer.reply.text}] if answer.reply.text else []) + calls

    def _part(self, answer: Answer, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
        tokens = answer.reply.tokens
        # Thoughts are counted beside the candidates, not in them.
        usage: dict[str, Any] = {"promptTokenCount": tokens.input, "totalTokenCount": tokens.input}
        if last:
            usage |= {
                "candidatesTokenCount": tokens.output - tokens.reasoning,
                "totalTokenCount": tokens.input + tokens.output,
            }
            usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": tokens.input}]
            if tokens.reasoning:
                usage["thoughtsTokenCount"] = tokens.reasoning
            if tokens.cache_read:
                usage["cachedContentTokenCount"] = tokens.cache_read
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if last:
            candidate["finishReason"] = "STOP"
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": answer.model,
            "responseId": answer.id,
        }

    def _data(self, payload: dict[str, Any]) -> str:
        return f"data: {json.dumps(payload)}\r\n\r\n"


class Converse:
    """`POST /model/{model}/converse` and `/converse-stream` of Bedrock."""

    name = "bedrock.converse"
    id_prefix = ""
    call_prefix = "tooluse_"

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        return True

    def body(self, answer: Answer) -> dict[str, Any]:
        blocks: list[dict[str, Any]] = [{"text": answer.reply.text}] if answer.reply.text else []
        for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True):
            blocks.append({"toolUse": {"toolUseId": call_id, "name": call.name, "input": json.loads(call.arguments)}})
        output = {"message": {"role": "assistant", "content": blocks}}
        return {
            "output": output,
            "stopReason": self._stop(answer),
            "usage": self._usage(answer),
            "metrics": {"latencyMs": 51},
        }

    def events(self, answer: Answer, request: dict[str, Any]) -> Iterator[bytes]:
        yield _frame("messageStart", {"role": "assistant"})
        index = 0
        if answer.reply.text:
            for piece in _pieces(answer.reply.text):
                yield _frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
            yield _frame("contentBlockStop", {"contentBlockIndex": 0})
            index = 1
        for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True):
            start = {"toolUse": {"toolUseId": call_id, "name": call.name}}
            yield _frame("contentBlockStart", {"contentBlockIndex": index, "start": start})
            delta = {"toolUse": {"input": call.arguments}}
            yield _frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
            yield _frame("contentBlockStop", {"contentBlockIndex": index})
            index += 1
        yield _frame("messageStop", {"stopReason": self._stop(answer)})
        yield _frame("metadata", {"usage": self._usage(answer), "metrics": {"latencyMs": 51}})

    def error(self, failure: Failure) -> dict[str, Any]:
        return {"message": failure.message}

    def _stop(self, answer: Answer) -> str:
        return "tool_use" if answer.reply.calls else "end_turn"

    def _usage(self, answer: Answer) -> dict[str, Any]:
        tokens = answer.reply.tokens
        fresh = tokens.input - tokens.cache_read - tokens.cache_write
        usage = {"inputTokens": fresh, "outputTokens": tokens.output, "totalTokens": tokens.input + tokens.output}
        if tokens.cache_read or tokens.cache_write:
            usage |= {"cacheReadInputTokens": tokens.cache_read, "cacheWriteInputTokens": tokens.cache_write}
        return usage


def _frame(kind: str, payload: dict[str, Any]) -> bytes:
    """One message of the `application/vnd.amazon.eventstream` encoding."""
    body = json.dumps(payload).encode()
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += (
            struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        )
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    prelude += struct.pack("!I", zlib.crc32(prelude))
    whole = prelude + headers + body
    return whole + struct.pack("!I", zlib.crc32(whole))


ROUTES: tuple[tuple[str, str, Any], ...] = (
    (r"/chat/completions$", "openai", Chat()),
    (r"/responses$", "openai", OpenAIResponses()),
    (r"/messages$", "anthropic", Messages()),
    (r"/models/(?P<model>[^/:]+):(?P<stream>stream)?[gG]enerateContent$", "gemini", Gemini()),
    (r"/model/(?P<model>[^/]+)/converse(?P<stream>-stream)?$", "bedrock", Converse()),
)


def offered_tools(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> JSON schema of the tools in a request of any of the APIs."""
    tools = request.get("tools") or (request.get("toolConfig") or {}).get("tools") or []
    flat = [d for tool in tools for d in tool.get("functionDeclarations") or [tool]]
    found = {}
    for tool in flat:
        inner = tool.get("function") or tool.get("toolSpec") or tool
        schema = inner.get("parameters") or inner.get("parametersJsonSchema") or inner.get("input_schema") or {}
        schema = schema or (inner.get("inputSchema") or {}).get("json") or {}
        if inner.get("name"):
            found[inner["name"]] = schema
    return found


_HANDS_OVER = re.compile(r"transfer|hand_?off|delegate|expert", re.IGNORECASE)


def fitted(reply: Reply, request: dict[str, Any]) -> Reply:
    """The reply in the manners the request asks for: how it hands over, how it ends, a format of its own."""
    tools = offered_tools(request)
    if reply.calls and reply.calls[0].name == scenarios.HANDOVER:
        name = next((name for name in tools if _HANDS_OVER.search(name)), None)
        if name is not None:
            return Reply(reply.tokens, calls=(ToolCall(name, json.dumps(_arguments(tools[name]))),))
    prompt = json.dumps(request)
    if "[[ ## " in prompt:  # DSPy
        return Reply(reply.tokens, text=_dspy(reply))
    if reply.text and "final_answer" in tools:  # smolagents
        return Reply(reply.tokens, calls=(ToolCall("final_answer", json.dumps({"answer": reply.text})),))
    if "Final Answer:" in prompt and not tools:  # ReAct by text
        return Reply(reply.tokens, text=_react(reply))
    return reply


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """Something to say for each required string; the expert where somebody is to be named."""
    given = {}
    for name, about in (schema.get("properties") or {}).items():
        if name not in (schema.get("required") or []):
            continue
        named = re.search(r"agent|coworker|name|recipient", name)
        given[name] = "weather_expert" if named else "What is the weather in Paris?"
        if about.get("enum"):
            given[name] = next((value for value in about["enum"] if "expert" in value), about["enum"][0])
    return given


def _dspy(reply: Reply) -> str:
    return f"[[ ## answer ## ]]\n{reply.text}\n\n[[ ## completed ## ]]"


def _react(reply: Reply) -> str:
    if reply.calls:
        call = reply.calls[0]
        return f"Thought: I need the weather.\nAction: {call.name}\nAction Input: {call.arguments}"
    return f"Thought: I now know the final answer\nFinal Answer: {reply.text}"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet about clients that went away between two requests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ModelServer:
    """The server on a free local port, in threads of its own; a context manager.

    Attributes:
        ledger: A line for each request, in the order they were answered.
        pace_s: Seconds between the pieces of a stream.
    """

    def __init__(self, scenario: str, *, ledger: Path | None = None, pace_s: float = 0.004) -> None:
        self.scenario = scenario
        self.pace_s = pace_s
        self.ledger: list[dict[str, Any]] = []
        self._file = ledger
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], int] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self, run: str, provider: str) -> Reply | Failure:
        with self._lock:
            answers = scenarios.script(self.scenario, provider, run)
            said = self._said.get((run, provider), 0)
            self._said[run, provider] = said + 1
        if said >= len(answers):
            return Failure(400, f"the script of {self.scenario} {run!r} has {len(answers)} answers and all were served")
        return answers[said]

    def note(self, line: dict[str, Any]) -> None:
        with self._lock:
            self.ledger.append(line)
            if self._file:
                with self._file.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def answer_line(
    answer: Answer, api: Any, run: str, asked: str, request: dict[str, Any], *, stream: bool
) -> dict[str, Any]:
    tokens = answer.reply.tokens
    return {
        "status": 200, "api": api.name, "run": run, "model_requested": asked, "model": answer.model,
        "response_id": answer.id, "stream": stream, "usage_on_wire": api.usage_is_sent(request),
        "input_tokens_total": tokens.input, "output_tokens_total": tokens.output, "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write, "reasoning": tokens.reasoning,
        "finish": _finish(api, answer), "at": time.time(),
        "tools": [
            {"name": call.name, "args": json.loads(call.arguments), "id": call_id}
            for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True)
        ],
    }  # fmt: skip


def _finish(api: Any, answer: Answer) -> str:
    called = bool(answer.reply.calls)
    if api.name.startswith("openai"):
        return (
            "tool_calls" if called and api.name == "openai.chat" else "completed" if "responses" in api.name else "stop"
        )
    if api.name.startswith("gemini"):
        return "STOP"
    return "tool_use" if called else "end_turn"


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            models = [{"id": name, "object": "model", "created": 1, "owned_by": "system"} for name in SNAPSHOTS]
            self._json(200, {"object": "list", "data": models})

        def do_POST(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if self.headers.get("Transfer-Encoding") == "chunked":
                raw = b""
                while size := int(self.rfile.readline(), 16):
                    raw += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = json.loads(raw or b"{}")
            if path.endswith("/embeddings"):
                return self._embeddings(request)
            for pattern, provider, route in ROUTES:
                if found := re.search(pattern, path):
                    return self._model(request, found.groupdict(), provider, route)
            return self._json(404, {"error": {"message": f"nothing at {path}"}})

        def _model(self, request: dict[str, Any], found: Mapping[str, str | None], provider: str, api: Any) -> None:
            thinking = request.get("thinking") or {}
            if provider == "anthropic" and thinking.get("type") == "enabled" and not request.get("stream"):
                api = ThinkingMessages()
            asked = str(found.get("model") or request.get("model") or "")
            marked = scenarios.RUN_MARK.search(json.dumps(request))
            run = marked.group() if marked else ""
            said = server.next(run, provider)
            if isinstance(said, Failure):
                server.note(
                    {"status": said.status, "api": api.name, "run": run, "model_requested": asked, "at": time.time()}
                )
                return self._failure(api, said)
            reply = fitted(said, request)
            answer = Answer(
                reply=reply,
                model=next((SNAPSHOTS[name] for name in SNAPSHOTS if asked == name), asked),
                id=f"{api.id_prefix}{uuid.uuid4().hex[:24]}",
                call_ids=tuple(f"{api.call_prefix}{uuid.uuid4().hex[:24]}" for _ in reply.calls),
            )
            stream = bool(found.get("stream") or request.get("stream"))
            server.note(answer_line(answer, api, run, asked, request, stream=stream))
            time.sleep(0.15 if run else 0.03)
            if stream:
                return self._stream(api.events(answer, request), binary=provider == "bedrock")
            return self._json(200, api.body(answer))

        def _embeddings(self, request: dict[str, Any]) -> None:
            asked = request.get("input")
            texts = asked if isinstance(asked, list) and asked and not isinstance(asked[0], int) else [asked]
            model = str(request.get("model", ""))
            used = scenarios.EMBEDDED_TOKENS
            server.note({
                "status": 200, "api": "openai.embeddings", "run": "", "model_requested": model, "model": model,
                "stream": False, "usage_on_wire": True, "input_tokens_total": used, "output_tokens_total": 0,
                "at": time.time(),
            })  # fmt: skip
            vector: Any = [0.125, -0.25, 0.5, 0.0625]
            if request.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
            data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(len(texts))]
            usage = {"prompt_tokens": used, "total_tokens": used}
            self._json(200, {"object": "list", "data": data, "model": model, "usage": usage})

        def _failure(self, api: Any, failure: Failure) -> None:
            headers = {"x-should-retry": "false"}
            if failure.retry_after is not None:
                headers = {"retry-after-ms": str(int(failure.retry_after * 1000)), "retry-after": "0"}
            self._json(failure.status, api.error(failure), headers)

        def _json(self, status: int, payload: dict[str, Any], headers: Mapping[str, str] = {}) -> None:
            body = json.dumps(payload).encode()
            self.send_response(status)
            sent = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "x-request-id": f"req_{uuid.uuid4().hex[:20]}",
            }
            for name, value in {**sent, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, events: Iterator[str | bytes], *, binary: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.amazon.eventstream" if binary else "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for event in events:
                    chunk = event if isinstance(event, bytes) else event.encode()
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                    self.wfile.flush()
                    time.sleep(server.pace_s)
                self.wfile.write(b"0\r\n\r\n")
            except ConnectionError:  # a client that leaves early
                self.close_connection = True

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario")
    parser.add_argument("--ledger", type=Path)
    chosen = parser.parse_args()
    with ModelServer(chosen.scenario, ledger=chosen.ledger) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
