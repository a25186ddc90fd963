"""Payloads of what cannot be run here, written from the reference: ``python handwritten.py`` writes them beside this file.

Each function below makes one payload: it adds spans and log records to a :class:`Book` and says what really happened (model calls,
tools, gates). Ids come from names, times from a fixed start, so that the files come out the same every time.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "js" / "record"))

import keep  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z in nanoseconds; times in payloads are milliseconds after it."""
INTERNAL, SERVER, CLIENT = 1, 2, 3
OK, ERROR = 1, 2
SYSTEM = "You are a travel assistant. Answer in one sentence."
ASKED = "Which is warmer today, Paris or Berlin?"
WARM = "Paris is warmer: 21 degrees, against 17 in Berlin."
PARIS = '{"city": "Paris"}'


def any_value(value: Any) -> AnyValue:
    """A Python value as an ``AnyValue``; None is a value without content."""
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    made = AnyValue()
    if isinstance(value, list):
        made.array_value.SetInParent()
        made.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(pairs(value))
    else:
        made.string_value = value
    return made


def pairs(values: dict[str, Any]) -> list[KeyValue]:
    """Attributes as they are on the wire."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def text(value: Any) -> str:
    """JSON text."""
    return json.dumps(value)


class Book:
    """One payload while it is written."""

    def __init__(self, name: str, resource: dict[str, Any] | None = None) -> None:
        self.name = name
        self.resource = resource or {"service.name": "travel-assistant"}
        self.traces: list[ExportTraceServiceRequest] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self.served: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {"captured": False, "content": True, "instrumentation_package": None}
        self._count = 0
        self.trace = self.id("trace", 16)

    def id(self, what: str, size: int = 8) -> bytes:
        """An identifier that depends on the payload's name and on what it is for."""
        return hashlib.sha256(f"{self.name} {what}".encode()).digest()[:size]

    def new_request(self) -> None:
        """What follows comes in a later request."""
        self.traces.append(ExportTraceServiceRequest())
        self.logs.append(ExportLogsServiceRequest())

    def span(
        self, name: str, scope: str, start: float, end: float, attributes: dict[str, Any], *, parent: bytes | None = None, kind: int = INTERNAL,
        status: int = 0, message: str = "", events: list[tuple[str, float, dict[str, Any]]] | None = None, links: list[bytes] | None = None,
        trace: bytes | None = None, resource: dict[str, Any] | None = None, span_id: bytes | None = None, version: str = "",
    ) -> bytes:  # fmt: skip
        """Add a span from ``start`` to ``end`` (milliseconds) and give back its id."""
        self._count += 1
        made = span_id or self.id(f"span {self._count}")
        if not self.traces:
            self.traces.append(ExportTraceServiceRequest())
        group = self.traces[-1].resource_spans.add()
        group.resource.attributes.extend(pairs(resource or self.resource))
        scoped = group.scope_spans.add()
        scoped.scope.name, scoped.scope.version = scope, version
        span = scoped.spans.add(
            trace_id=trace or self.trace, span_id=made, parent_span_id=parent or b"", name=name, kind=kind
        )
        span.start_time_unix_nano, span.end_time_unix_nano = at(start), at(end)
        span.attributes.extend(pairs(attributes))
        span.status.code, span.status.message = status, message
        for event, moment, values in events or []:
            span.events.add(name=event, time_unix_nano=at(moment), attributes=pairs(values))
        for target in links or []:
            span.links.add(trace_id=trace or self.trace, span_id=target)
        return made

    def log(
        self, scope: str, moment: float, attributes: dict[str, Any], *, body: Any = None, event_name: str = "", span: bytes | None = None,
        severity: int = 9,
    ) -> None:  # fmt: skip
        """Add a log record."""
        if not self.logs:
            self.logs.append(ExportLogsServiceRequest())
        group = self.logs[-1].resource_logs.add()
        group.resource.attributes.extend(pairs(self.resource))
        scoped = group.scope_logs.add()
        scoped.scope.name = scope
        record = scoped.log_records.add(
            time_unix_nano=at(moment), observed_time_unix_nano=at(moment), severity_number=severity
        )
        record.event_name = event_name
        record.attributes.extend(pairs(attributes))
        if body is not None:
            record.body.CopyFrom(any_value(body))
        if span:
            record.trace_id, record.span_id = self.trace, span

    def call(
        self, model: str, counts: tuple[int, int], *, read: int = 0, write: int = 0, reasoning: int = 0, tools: tuple[tuple[str, dict[str, Any], str], ...] = (),
        response_id: str | None = None, request_id: str | None = None, api: str = "openai.chat", stream: bool = False, status: int = 200, requested: str | None = None,
    ) -> None:  # fmt: skip
        """What happened: one model call, and the tools it asked for."""
        self.served.append({
            "api": api, "model": model, "model_requested": requested or model, "status": status, "stream": stream, "request_id": request_id, "response_id": response_id,
            "usage": {"input": counts[0], "output": counts[1], "cacheRead": read, "cacheWrite": write, "reasoning": reasoning}, "usage_on_wire": True,
            "finish": "tool_calls" if tools else "stop", "tools": [{"name": name, "args": args, "id": ident} for name, args, ident in tools],
        })  # fmt: skip

    def write(self) -> None:
        """Write the payload and its line of truth."""
        traces = [request for request in self.traces if request.resource_spans]
        logs = [request for request in self.logs if request.resource_logs]
        truth = keep.truth_of(self.served, self.facts)
        keep.write(HERE, self.name, traces, logs, keep.line_of(self.name, self.facts, truth, traces, logs))


def at(milliseconds: float) -> int:
    """Nanoseconds of the epoch."""
    return START + int(milliseconds * 1e6)


PAYLOADS: list[tuple[str, dict[str, Any], dict[str, Any] | None, Callable[[Book], None]]] = []


def payload(
    name: str, dialect: str | None, resource: dict[str, Any] | None = None, **facts: Any
) -> Callable[[Callable[[Book], None]], Callable[[Book], None]]:
    """Registers a function as the writer of a payload."""

    def keep_it(write: Callable[[Book], None]) -> Callable[[Book], None]:
        PAYLOADS.append((name, {"dialect": dialect, **facts}, resource, write))
        return write

    return keep_it


def gate(outcome: str, source: str | None, tool: int | None = 0, **more: Any) -> dict[str, Any]:
    """A decision that was made, for the truth; ``tool`` is the index of the tool call it was about."""
    return {"tool": tool, "outcome": outcome, "source": source, **more}


WEATHER = ("get_weather", {"city": "Paris"}, "call_paris")
BERLIN = ("get_weather", {"city": "Berlin"}, "call_berlin")


# Coding agents -------------------------------------------------------------------------------------------------------------------


def copilot(book: Book, result: str, ran: bool, wait: float) -> None:
    """A tool of Copilot that somebody was asked about: the answer is on a span of its own under the tool's."""
    scope, common = "github.copilot", {"gen_ai.conversation.id": "5f2b", "gen_ai.provider.name": "openai"}
    root, tool = book.id("root"), book.id("tool")
    chat = common | {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini",
        "github.copilot.cost": 1.0,
        "github.copilot.aiu": 3.5,
    }
    used = (
        {"gen_ai.usage.input_tokens": 811, "gen_ai.usage.output_tokens": 31, "gen_ai.response.id": "chatcmpl-a"},
        {"gen_ai.usage.input_tokens": 907, "gen_ai.usage.output_tokens": 37, "gen_ai.response.id": "chatcmpl-b"},
    )
    book.span(
        "chat gpt-4o-mini",
        scope,
        0,
        40,
        chat | used[0] | {"gen_ai.response.finish_reasons": ["tool_calls"]},
        parent=root,
        kind=CLIENT,
    )
    book.span(
        "permission",
        scope,
        45,
        45 + wait,
        {"github.copilot.permission.kind": "shell", "github.copilot.permission.result": result},
        parent=tool,
    )
    ended = {"process.exit.code": 0} if ran else {"error.type": "denied"}
    book.span("execute_tool bash", scope, 42, 60 + wait, common | {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "bash", "gen_ai.tool.call.id": "call_touch", "gen_ai.tool.type": "function"} | ended,
              parent=root, span_id=tool, status=0 if ran else ERROR, message="" if ran else "Tool failed")  # fmt: skip
    book.span(
        "chat gpt-4o-mini",
        scope,
        65 + wait,
        90 + wait,
        chat | used[1] | {"gen_ai.response.finish_reasons": ["stop"]},
        parent=root,
        kind=CLIENT,
    )
    book.span("invoke_agent", scope, 0, 95 + wait, common | {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": "5f2b", "gen_ai.usage.input_tokens": 1718, "gen_ai.usage.output_tokens": 68, "github.copilot.turn_count": 2, "github.copilot.cost": 2.0, "github.copilot.aiu": 7.0}, span_id=root)  # fmt: skip
    book.call(
        "gpt-4o-mini",
        (811, 31),
        tools=(("bash", {"command": "touch made.txt"}, "call_touch"),),
        response_id="chatcmpl-a",
        stream=True,
    )
    book.call("gpt-4o-mini", (907, 37), response_id="chatcmpl-b", stream=True)


@payload(
    "copilot-cli__copilot-cli__hand__allowed.user",
    "copilot_cli",
    {"service.name": "github-copilot"},
    gates=[gate("allow", "user", wait_ms=300)],
)
def copilot_allowed(book: Book) -> None:
    copilot(book, "approved", ran=True, wait=300)


@payload(
    "copilot-cli__copilot-cli__hand__denied.user",
    "copilot_cli",
    {"service.name": "github-copilot"},
    tool_calls=0,
    gates=[gate("deny", "user", wait_ms=300)],
)
def copilot_denied(book: Book) -> None:
    copilot(book, "denied-interactively-by-user", ran=False, wait=300)


CLAUDE = {"service.name": "claude-code", "service.version": "1.0.80"}
CLAUDE_CALLS = (
    {
        "model": "claude-sonnet-4-5-20250929",
        "input_tokens": "987",
        "output_tokens": "311",
        "cache_read_tokens": "1024",
        "cache_creation_tokens": "192",
        "cost_usd": "0.0086532",
        "duration_ms": "2100",
        "request_id": "req_a",
    },
    {
        "model": "claude-sonnet-4-5-20250929",
        "input_tokens": "101",
        "output_tokens": "401",
        "cache_read_tokens": "2560",
        "cache_creation_tokens": "256",
        "cost_usd": "0.008046",
        "duration_ms": "1900",
        "request_id": "req_b",
    },
)


def claude_logs(book: Book, offset: float = 0) -> None:
    common = {
        "user.id": "0" * 64,
        "session.id": "s-1",
        "organization.id": "org-1",
        "user.account_uuid": "u-1",
        "user.email": "ada@example.com",
        "terminal.type": "vscode",
        "app.version": "1.0.80",
        "prompt.id": "p-1",
    }
    rows = [
        (0, "user_prompt", {"prompt_length": "32", "prompt": "<REDACTED>"}),
        (2100, "api_request", CLAUDE_CALLS[0]),
        (
            7300,
            "tool_decision",
            {"tool_name": "Bash", "tool_use_id": "toolu_1", "decision": "accept", "source": "user_permanent"},
        ),
        (
            7350,
            "tool_result",
            {
                "tool_name": "Bash",
                "tool_use_id": "toolu_1",
                "success": "true",
                "duration_ms": "40",
                "decision_type": "accept",
                "decision_source": "user_permanent",
                "tool_parameters": text({"bash_command": "ls"}),
            },
        ),
        (
            7300,
            "tool_decision",
            {"tool_name": "Edit", "tool_use_id": "toolu_2", "decision": "reject", "source": "user_reject"},
        ),
        (9300, "api_request", CLAUDE_CALLS[1]),
    ]
    for sequence, (moment, event, values) in enumerate(rows):
        named = {
            "event.name": f"claude_code.{event}",
            "event.timestamp": "2026-01-01T00:00:00.000Z",
            "event.sequence": str(sequence),
        }
        book.log(
            "com.anthropic.claude_code.events", moment + offset, common | named | values, body=f"claude_code.{event}"
        )


def claude_truth(book: Book) -> None:
    tools = (("Bash", {"command": "ls"}, "toolu_1"), ("Edit", {"file_path": "a.txt"}, "toolu_2"))
    book.call(
        "claude-sonnet-4-5-20250929",
        (2203, 311),
        read=1024,
        write=192,
        tools=tools,
        request_id="req_a",
        api="anthropic.messages",
        stream=True,
    )
    book.call(
        "claude-sonnet-4-5-20250929",
        (2917, 401),
        read=2560,
        write=256,
        request_id="req_b",
        api="anthropic.messages",
        stream=True,
    )
    book.facts |= {
        "tool_calls": 1,
        "gates": [gate("allow", "user", 0), gate("deny", "user", 1)],
        "session_id": "s-1",
        "content": False,
    }


@payload("claude-code__claude-code__hand__S4.strings", "claude_code", CLAUDE)
def claude_strings(book: Book) -> None:
    """An older release: every number is text, the event's name has its prefix."""
    claude_logs(book)
    claude_truth(book)


@payload("claude-code__claude-code__hand__S4.resent", "claude_code", CLAUDE)
def claude_resent(book: Book) -> None:
    """The same records a second time, as an exporter does whose answer was lost."""
    claude_logs(book)
    book.new_request()
    claude_logs(book)
    claude_truth(book)


@payload("claude-code__claude-code__hand__S4.interactive", "claude_code", CLAUDE, content=False)
def claude_interactive(book: Book) -> None:
    """Beta spans of an interactive session: who decided and how long it took is on the span."""
    scope, root, first, second = (
        "com.anthropic.claude_code.tracing",
        book.id("root"),
        book.id("tool 1"),
        book.id("tool 2"),
    )
    common = {"session.id": "s-1", "user.id": "0" * 64}
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
    for number, moment in ((0, 0), (1, 8000)):
        used = CLAUDE_CALLS[number]
        book.span("claude_code.llm_request", scope, moment, moment + 2000, common | {"span.type": "claude_code.llm_request", "model": "claude-sonnet-4-5", "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5", "request_id": used["request_id"], "attempt": 1, "success": True, "ttft_ms": 640, "stop_reason": ("tool_use", "end_turn")[number]} | {key: int(used[key]) for key in tokens}, parent=root)  # fmt: skip
    for tool, name, ident, decision, source, wait in (
        (first, "Bash", "toolu_1", "accept", "user_temporary", 5200),
        (second, "Edit", "toolu_2", "reject", "user_reject", 5300),
    ):
        book.span(
            "claude_code.tool.blocked_on_user",
            scope,
            2000,
            2000 + wait,
            common | {"span.type": "tool.blocked_on_user", "duration_ms": wait, "decision": decision, "source": source},
            parent=tool,
        )
        if decision == "accept":
            book.span(
                "claude_code.tool.execution",
                scope,
                2000 + wait,
                2040 + wait,
                common | {"span.type": "tool.execution", "tool_use_id": ident, "duration_ms": 40, "success": True},
                parent=tool,
            )
        book.span(
            "claude_code.tool",
            scope,
            2000,
            2050 + wait,
            common | {"span.type": "tool", "tool_name": name, "tool_use_id": ident, "duration_ms": wait + 50},
            parent=root,
            span_id=tool,
        )
    book.span(
        "claude_code.hook",
        scope,
        1990,
        1999,
        common
        | {
            "span.type": "hook",
            "hook_event": "PreToolUse",
            "hook_name": "PreToolUse:Bash",
            "num_success": 1,
            "num_blocking": 0,
        },
        parent=root,
    )
    book.span(
        "claude_code.interaction",
        scope,
        0,
        10100,
        common | {"span.type": "interaction", "user_prompt": "<REDACTED>", "interaction.sequence": 1},
        span_id=root,
    )
    claude_truth(book)


@payload(
    "claude-code__claude-code__hand__refused",
    "claude_code",
    {"service.name": "claude-code", "service.version": "2.1.197"},
    failed=1,
    content=False,
)
def claude_refusal(book: Book) -> None:
    """A refusal by the model, then session facts that are neither calls nor tools."""
    common = {"session.id": "s-2", "user.id": "0" * 64, "terminal.type": "xterm", "prompt.id": "p-2"}
    rows = [
        ("permission_mode_changed", {"mode": "acceptEdits", "previous_mode": "default"}),
        ("user_prompt", {"prompt_length": "9", "prompt": "<REDACTED>"}),
        (
            "api_refusal",
            {
                "model": "claude-sonnet-4-5",
                "error": "refusal",
                "duration_ms": 900,
                "request_id": "req_r",
                "query_source": "main",
            },
        ),
        ("compaction", {"trigger": "auto", "pre_tokens": 150000}),
        ("skill_activated", {"skill_name": "weather"}),
        ("internal_error", {"error_name": "TypeError"}),
    ]
    for sequence, (event, values) in enumerate(rows):
        book.log(
            "com.anthropic.claude_code.events",
            sequence * 900,
            common | {"event.name": event, "event.sequence": sequence} | values,
            body=f"claude_code.{event}",
        )
    book.call("claude-sonnet-4-5", (0, 0), status=500, api="anthropic.messages")


@payload(
    "codex__codex__hand__S4.websocket",
    "codex_cli",
    {"service.name": "codex_cli_rs", "service.version": "0.120.0", "env": "dev"},
    content=False,
    session_id="t-1",
)
def codex_websocket(book: Book) -> None:
    """The websocket transport, and the words of older releases for a decision."""
    common = {
        "conversation.id": "t-1",
        "app.version": "0.120.0",
        "auth_mode": "ChatGPT",
        "originator": "codex_cli_rs",
        "user.account_id": "a-1",
        "user.email": "ada@example.com",
        "terminal.type": "xterm",
        "model": "gpt-5-codex",
        "slug": "gpt-5-codex",
    }
    used = [(811, 31, 512, 0), (907, 37, 768, 16)]
    rows: list[tuple[float, str, dict[str, Any]]] = [
        (0, "codex.user_prompt", {"prompt_length": "11", "prompt": "[REDACTED]"})
    ]
    for number, (given, made, cached, thought) in enumerate(used):
        rows.append((900 + number * 5000, "codex.websocket_request", {"duration_ms": "12", "success": "true"}))
        rows.append(
            (
                1000 + number * 5000,
                "codex.websocket_event",
                {"event.kind": "response.created", "duration_ms": "3", "success": "true"},
            )
        )
        rows.append(
            (
                2000 + number * 5000,
                "codex.websocket_event",
                {"event.kind": "response.completed", "duration_ms": "7", "success": "true"},
            )
        )
        rows.append((2000 + number * 5000, "codex.sse_event", {"event.kind": "response.completed", "input_token_count": str(given), "output_token_count": str(made), "cached_token_count": str(cached), "reasoning_token_count": str(thought), "tool_token_count": str(given + made)}))  # fmt: skip
    rows.append(
        (
            3000,
            "codex.tool_decision",
            {"tool_name": "shell", "call_id": "call_a", "decision": "approved_execpolicy_amendment", "source": "user"},
        )
    )
    rows.append(
        (
            3100,
            "codex.tool_result",
            {
                "tool_name": "shell",
                "call_id": "call_a",
                "arguments": text({"command": ["ls"]}),
                "duration_ms": "90",
                "success": "true",
                "output": "a.txt",
            },
        )
    )
    rows.append(
        (
            4000,
            "codex.tool_decision",
            {"tool_name": "apply_patch", "call_id": "call_b", "decision": "abort", "source": "user"},
        )
    )
    for moment, event, values in sorted(rows, key=lambda row: row[0]):
        book.log(
            "codex_otel", moment, common | {"event.name": event, "event.timestamp": "2026-01-01T00:00:00.000Z"} | values
        )
    book.call(
        "gpt-5-codex",
        (811, 31),
        read=512,
        tools=(("shell", {"command": ["ls"]}, "call_a"), ("apply_patch", {}, "call_b")),
        api="openai.responses",
        stream=True,
    )
    book.call("gpt-5-codex", (907, 37), read=768, reasoning=16, api="openai.responses", stream=True)
    book.facts |= {"tool_calls": 1, "gates": [gate("allow", "user", 0), gate("abort", "user", 1)]}


@payload(
    "gemini-cli__gemini-cli__hand__decisions",
    "gemini_cli",
    {"service.name": "gemini-cli", "service.version": "v22.0.0"},
    session_id="g-1",
    content=False,
)
def gemini_decisions(book: Book) -> None:
    """Every word for a decision, a subagent, a loop that was seen, a compression."""
    common = {"session.id": "g-1", "installation.id": "i-1", "user.email": "ada@example.com"}
    tools = [
        ("read_file", "auto_accept", True),
        ("write_file", "modify", True),
        ("run_shell_command", "reject", False),
        ("edit", "accept", True),
    ]
    book.log(
        "gemini-cli",
        0,
        common | {"event.name": "gemini_cli.agent.start", "agent_id": "ag-1", "agent_name": "investigator"},
        body="agent",
    )
    for number, (name, decision, success) in enumerate(tools):
        book.log(
            "gemini-cli",
            1000 + number,
            common
            | {
                "event.name": "gemini_cli.tool_call",
                "function_name": name,
                "function_args": "{}",
                "duration_ms": 10 + number,
                "success": success,
                "decision": decision,
                "prompt_id": "g-1########1",
                "tool_type": "native",
            },
            body="Tool call",
        )
    book.log(
        "gemini-cli",
        2000,
        common
        | {
            "event.name": "gemini_cli.api_response",
            "model": "gemini-2.5-pro",
            "duration_ms": 800,
            "input_token_count": 2203,
            "output_token_count": 119,
            "cached_content_token_count": 1024,
            "thoughts_token_count": 192,
            "tool_token_count": 0,
            "total_token_count": 2514,
            "prompt_id": "g-1########1",
            "status_code": 200,
        },
        body="API response",
    )
    book.log(
        "gemini-cli",
        2000,
        common
        | {
            "event.name": "gen_ai.client.inference.operation.details",
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "gcp.gen_ai",
            "gen_ai.request.model": "gemini-2.5-pro",
            "gen_ai.usage.input_tokens": 2203,
            "gen_ai.usage.output_tokens": 119,
            "gen_ai.response.id": "r-1",
        },
        body="details",
    )
    book.log(
        "gemini-cli",
        2500,
        common
        | {"event.name": "gemini_cli.loop_detected", "loop_type": "content_chanting_loop", "prompt_id": "g-1########1"},
        body="Loop detected",
    )
    book.log(
        "gemini-cli",
        2600,
        common | {"event.name": "gemini_cli.chat_compression", "tokens_before": 9000, "tokens_after": 1000},
        body="compressed",
    )
    book.log(
        "gemini-cli",
        2700,
        common
        | {
            "event.name": "gemini_cli.agent.finish",
            "agent_id": "ag-1",
            "agent_name": "investigator",
            "duration_ms": 2700,
            "turn_count": 1,
            "terminate_reason": "GOAL",
        },
        body="agent",
    )
    asked = tuple((name, {}, f"hidden-{number}") for number, (name, _, _) in enumerate(tools))
    book.call(
        "gemini-2.5-pro",
        (2203, 311),
        read=1024,
        reasoning=192,
        tools=asked,
        response_id="r-1",
        api="gemini.generate",
        stream=True,
    )
    book.facts |= {
        "tool_calls": 3,
        "gates": [
            gate("allow", "config", 0),
            gate("modify", "user", 1),
            gate("deny", "user", 2),
            gate("allow", "user", 3),
        ],
        "notes": ["tool call ids are not sent"],
    }


OPENLIT = {"service.name": "claude-code", "telemetry.sdk.name": "openlit"}


@payload("openlit__coding-agent__hand__S4", "openlit", OPENLIT, session_id="c-1")
def openlit_hooks(book: Book) -> None:
    """OpenLIT's hooks of a coding agent: the session's cost is a total, edits are decided on."""
    scope, root, turn = "openlit", book.id("root"), book.id("turn")
    session = {"coding_agent.session.id": "c-1", "gen_ai.conversation.id": "c-1"}
    usage = {
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 987,
        "gen_ai.usage.output_tokens": 311,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.cache_creation.input_tokens": 192,
        "gen_ai.usage.cost": 0.0086532,
    }
    book.span(
        "coding_agent.llm.turn",
        scope,
        0,
        2000,
        session | usage | {"gen_ai.operation.name": "chat"},
        parent=root,
        kind=CLIENT,
        span_id=turn,
    )
    book.span(
        "coding_agent.tool.call",
        scope,
        2100,
        2300,
        session
        | {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "Edit",
            "gen_ai.tool.call.id": "toolu_1",
            "gen_ai.tool.call.arguments": text({"file_path": "a.txt"}),
            "coding_agent.tool.triggering_llm_request_id": "req_a",
            "coding_agent.loop.detected": True,
            "coding_agent.loop.pattern": "repeat",
        },
        parent=root,
    )
    for number, (decision, source) in enumerate(
        (
            ("accept", "user_interactive"),
            ("reject", "policy"),
            ("auto_accepted", "user_permanent_rule"),
            ("modify", "hook"),
        )
    ):
        book.span(
            "coding_agent.edit.decision",
            scope,
            2100 + number,
            2200 + number,
            session
            | {
                "coding_agent.edit.decision": decision,
                "coding_agent.edit.decision.source": source,
                "gen_ai.tool.name": "Edit",
            },
            parent=root,
        )
    book.span(
        "coding_agent.subagent",
        scope,
        2400,
        2900,
        session
        | {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "reader",
            "coding_agent.agent.parent_id": "main",
        },
        parent=root,
    )
    book.span(
        "coding_agent.git.commit", scope, 3000, 3010, session | {"coding_agent.git.commit.sha": "deadbeef"}, parent=root
    )
    book.span(
        "coding_agent.session",
        scope,
        0,
        3100,
        session
        | {
            "coding_agent.session.cost_usd": 0.0086532,
            "coding_agent.session.outcome": "completed",
            "coding_agent.policy.permission_mode": "default",
        },
        span_id=root,
    )
    book.call(
        "claude-sonnet-4-5",
        (2203, 311),
        read=1024,
        write=192,
        tools=(("Edit", {"file_path": "a.txt"}, "toolu_1"),),
        request_id="req_a",
        api="anthropic.messages",
    )
    book.facts["gates"] = [
        gate("allow", "user", None),
        gate("deny", "policy", None),
        gate("allow", "user", None),
        gate("modify", "hook", None),
    ]


# Frameworks and libraries --------------------------------------------------------------------------------------------------------


@payload("semantic-kernel__dotnet__hand__S4", "semantic_kernel")
def semantic_kernel_dotnet(book: Book) -> None:
    """Semantic Kernel for .NET: messages are span events with one attribute, the finish reason is singular."""
    root = book.id("root")
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    }
    said = [
        ("gen_ai.system.message", {"role": "system", "content": SYSTEM}),
        ("gen_ai.user.message", {"role": "user", "content": ASKED}),
    ]
    wants = {
        "index": 0,
        "message": {
            "role": "Assistant",
            "tool_calls": [
                {
                    "id": "call_paris",
                    "function": {"name": "get_weather", "arguments": {"city": "Paris"}},
                    "type": "function",
                }
            ],
        },
        "finish_reason": "ToolCalls",
    }

    def events(messages: list[tuple[str, Any]]) -> list[tuple[str, float, dict[str, Any]]]:
        return [
            (name, 1.0, {"gen_ai.system": "openai", "gen_ai.event.content": text(content)})
            for name, content in messages
        ]

    book.span(
        "chat gpt-4o-mini",
        "Microsoft.SemanticKernel.Connectors.OpenAI",
        10,
        400,
        chat
        | {
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.response.finish_reason": "ToolCalls",
            "gen_ai.usage.input_tokens": 907,
            "gen_ai.usage.output_tokens": 43,
        },
        parent=root,
        kind=CLIENT,
        events=events([*said, ("gen_ai.choice", wants)]),
    )
    book.span(
        "execute_tool get_weather",
        "Microsoft.SemanticKernel",
        410,
        420,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.description": "Current weather of a city.",
            "gen_ai.tool.call.id": "call_paris",
            "gen_ai.tool.call.arguments": PARIS,
            "gen_ai.tool.call.result": "21 degrees",
        },
        parent=root,
    )
    told = [
        *said,
        ("gen_ai.assistant.message", {"role": "assistant", "tool_calls": wants["message"]["tool_calls"]}),
        ("gen_ai.tool.message", {"role": "tool", "content": "21 degrees", "id": "call_paris"}),
        ("gen_ai.tool.developer", {"role": "developer", "content": "Be short."}),
    ]
    book.span(
        "chat gpt-4o-mini",
        "Microsoft.SemanticKernel.Connectors.OpenAI",
        430,
        800,
        chat
        | {
            "gen_ai.response.id": "chatcmpl-b",
            "gen_ai.response.finish_reason": "Stop",
            "gen_ai.usage.input_tokens": 1151,
            "gen_ai.usage.output_tokens": 59,
        },
        parent=root,
        kind=CLIENT,
        events=events(
            [
                *told,
                (
                    "gen_ai.choice",
                    {"index": 0, "message": {"role": "Assistant", "content": WARM}, "finish_reason": "Stop"},
                ),
            ]
        ),
    )
    book.span(
        "invoke_agent travel",
        "Microsoft.SemanticKernel.Diagnostics",
        0,
        810,
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": "agent-1", "gen_ai.agent.name": "travel"},
        span_id=root,
    )
    book.call("gpt-4o-mini-2024-07-18", (907, 43), tools=(WEATHER,), response_id="chatcmpl-a", requested="gpt-4o-mini")
    book.call("gpt-4o-mini-2024-07-18", (1151, 59), response_id="chatcmpl-b", requested="gpt-4o-mini")


@payload("agent-framework__dotnet__hand__S4", "agent_framework")
def agent_framework_dotnet(book: Book) -> None:
    """Microsoft Agent Framework for .NET: a workflow whose executor's agent repeats the call's usage."""
    flow, process, agent = book.id("flow"), book.id("process"), book.id("agent")
    book.span(
        "chat gpt-4o-mini",
        "Experimental.Microsoft.Extensions.AI",
        40,
        500,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.output_tokens": 73,
            "gen_ai.response.finish_reasons": ["stop"],
        },
        parent=agent,
        kind=CLIENT,
    )
    book.span(
        "invoke_agent travel",
        "Experimental.Microsoft.Agents.AI",
        30,
        510,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "microsoft.agent_framework",
            "gen_ai.agent.id": "agent-1",
            "gen_ai.agent.name": "travel",
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.output_tokens": 73,
        },
        parent=process,
        span_id=agent,
    )
    book.span(
        "executor.process",
        "Experimental.Microsoft.Agents.AI.Workflows",
        20,
        520,
        {"executor.id": "travel", "executor.type": "AgentExecutor", "message.type": "ChatMessage"},
        parent=flow,
        span_id=process,
        links=[book.id("send")],
    )
    book.span(
        "message.send",
        "Experimental.Microsoft.Agents.AI.Workflows",
        15,
        16,
        {"message.type": "ChatMessage", "message.source_id": "start", "message.target_id": "travel"},
        parent=flow,
        span_id=book.id("send"),
    )
    book.span(
        "workflow_invoke",
        "Experimental.Microsoft.Agents.AI.Workflows",
        10,
        530,
        {"workflow.id": "w-1", "workflow.name": "travel"},
        span_id=flow,
        events=[("workflow.started", 10, {}), ("workflow.completed", 529, {})],
    )
    book.call("gpt-4o-mini-2024-07-18", (1481, 73), response_id="chatcmpl-a", requested="gpt-4o-mini")


@payload("loongsuite__loongsuite__hand__S4", "loongsuite", session_id="session-4711")
def loongsuite(book: Book) -> None:
    """Alibaba's conventions: a span kind of their own, session and user under gen_ai, a react step that is no call."""
    scope, root, step = "loongsuite", book.id("root"), book.id("step")
    who = {"gen_ai.session.id": "session-4711", "gen_ai.user.id": "user-42"}
    book.span(
        "chat qwen-max",
        scope,
        20,
        400,
        who
        | {
            "gen_ai.span.kind": "LLM",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "dashscope",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.id": "r-a",
            "gen_ai.usage.input_tokens": 907,
            "gen_ai.usage.output_tokens": 43,
            "gen_ai.input.messages": text([{"role": "user", "parts": [{"type": "text", "content": ASKED}]}]),
        },
        parent=step,
        kind=CLIENT,
    )
    book.span(
        "execute_tool get_weather",
        scope,
        410,
        420,
        who
        | {
            "gen_ai.span.kind": "TOOL",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.call.id": "call_paris",
            "gen_ai.tool.call.arguments": PARIS,
            "gen_ai.tool.call.result": "21 degrees",
        },
        parent=step,
    )
    book.span(
        "react step",
        scope,
        10,
        430,
        who
        | {
            "gen_ai.span.kind": "STEP",
            "gen_ai.operation.name": "react",
            "gen_ai.react.round": 1,
            "gen_ai.react.finish_reason": "tool_calls",
        },
        parent=root,
        span_id=step,
    )
    book.span(
        "invoke_agent travel",
        scope,
        0,
        440,
        who
        | {
            "gen_ai.span.kind": "AGENT",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "travel",
            "gen_ai.usage.input_tokens": 907,
            "gen_ai.usage.output_tokens": 43,
        },
        span_id=root,
    )
    book.call("gpt-4o-mini", (907, 43), tools=(WEATHER,), response_id="r-a")


@payload("agentops__agentops__hand__S4", "agentops")
def agentops(book: Book) -> None:
    """AgentOps: kinds of its own, flattened messages."""
    scope, root = "agentops", book.id("root")
    flat = {
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": SYSTEM,
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": ASKED,
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.tool_calls.0.id": "call_paris",
        "gen_ai.completion.0.tool_calls.0.name": "get_weather",
        "gen_ai.completion.0.tool_calls.0.arguments": PARIS,
        "gen_ai.completion.0.finish_reason": "tool_calls",
    }
    book.span(
        "openai.chat.completion",
        scope,
        10,
        400,
        flat
        | {
            "agentops.span.kind": "llm",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.usage.prompt_tokens": 907,
            "gen_ai.usage.completion_tokens": 43,
            "gen_ai.usage.total_tokens": 950,
        },
        parent=root,
        kind=CLIENT,
    )
    book.span(
        "get_weather.tool",
        scope,
        410,
        420,
        {
            "agentops.span.kind": "tool",
            "tool.name": "get_weather",
            "tool.parameters": PARIS,
            "tool.result": "21 degrees",
            "tool.status": "succeeded",
            "agentops.entity.name": "get_weather",
            "agentops.entity.input": PARIS,
            "agentops.entity.output": '"21 degrees"',
        },
        parent=root,
    )
    book.span(
        "safety.guardrail",
        scope,
        421,
        425,
        {"agentops.span.kind": "guardrail", "agentops.entity.name": "safety", "agentops.entity.output": "true"},
        parent=root,
    )
    book.span(
        "travel.agent",
        scope,
        5,
        430,
        {
            "agentops.span.kind": "agent",
            "agent.id": "agent-1",
            "agent.name": "travel",
            "agentops.entity.name": "travel",
        },
        parent=book.id("session"),
        span_id=root,
    )
    book.span("default.session", scope, 0, 440, {"agentops.span.kind": "session"}, span_id=book.id("session"))
    book.call("gpt-4o-mini-2024-07-18", (907, 43), tools=(WEATHER,), response_id="chatcmpl-a", requested="gpt-4o-mini")


ADK = {
    "gen_ai.system": "gcp.vertex.agent",
    "gcp.vertex.agent.invocation_id": "e-1",
    "gcp.vertex.agent.session_id": "session-4711",
}
BOTH = (WEATHER, BERLIN)


def adk_tools(book: Book, parent: bytes) -> None:
    for name, args, ident in BOTH:
        book.span(f"execute_tool {name}", "gcp.vertex.agent", 420, 440, {"gen_ai.operation.name": "execute_tool", "gen_ai.system": "gcp.vertex.agent", "gen_ai.tool.name": name, "gen_ai.tool.type": "FunctionTool", "gen_ai.tool.call.id": ident, "gcp.vertex.agent.tool_call_args": text(args), "gcp.vertex.agent.tool_response": text({"result": "21 degrees"}), "gcp.vertex.agent.event_id": "ev-2", "gcp.vertex.agent.llm_request": "{}", "gcp.vertex.agent.llm_response": "{}"}, parent=parent)  # fmt: skip
    book.span("execute_tool (merged tools)", "gcp.vertex.agent", 420, 441, {"gen_ai.operation.name": "execute_tool", "gen_ai.system": "gcp.vertex.agent", "gen_ai.tool.name": "(merged tools)", "gen_ai.tool.description": "(merged tools)", "gen_ai.tool.call.id": "ev-3", "gcp.vertex.agent.tool_call_args": "N/A", "gcp.vertex.agent.event_id": "ev-3", "gcp.vertex.agent.tool_response": "{}", "gcp.vertex.agent.llm_request": "{}", "gcp.vertex.agent.llm_response": "{}"}, parent=parent)  # fmt: skip


@payload("adk__google-adk__hand__S4.merged", "google_adk", session_id="session-4711")
def adk_merged(book: Book) -> None:
    """Parallel tools: a pseudo tool for both together; stable mode leaves thoughts out of the output, only the response's text has them."""
    root, agent, first = book.id("root"), book.id("agent"), book.id("first")
    for number, (start, ident, counts, parts) in enumerate(
        (
            (10, first, (2203, 119, 1024, 192), [{"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}}]),
            (500, book.id("second"), (2917, 145, 2560, 256), [{"text": WARM}]),
        )
    ):
        answer = {
            "content": {"role": "model", "parts": parts},
            "usage_metadata": {
                "prompt_token_count": counts[0],
                "candidates_token_count": counts[1],
                "cached_content_token_count": counts[2],
                "thoughts_token_count": counts[3],
                "total_token_count": counts[0] + counts[1] + counts[3],
            },
        }
        book.span("call_llm", "gcp.vertex.agent", start, start + 400, ADK | {"gen_ai.request.model": "gemini-2.5-flash", "gcp.vertex.agent.event_id": f"ev-{number}", "gen_ai.usage.input_tokens": counts[0], "gen_ai.usage.output_tokens": counts[1], "gen_ai.response.finish_reasons": ["stop"], "gcp.vertex.agent.llm_request": text({"model": "gemini-2.5-flash", "contents": [{"role": "user", "parts": [{"text": ASKED}]}]}), "gcp.vertex.agent.llm_response": text(answer)}, parent=agent, span_id=ident)  # fmt: skip
    adk_tools(book, first)
    book.span(
        "invoke_agent travel",
        "gcp.vertex.agent",
        5,
        920,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "travel",
            "gen_ai.conversation.id": "session-4711",
        },
        parent=root,
        span_id=agent,
    )
    book.span("invocation", "gcp.vertex.agent", 0, 930, {}, span_id=root)
    book.call("gemini-2.5-flash", (2203, 311), read=1024, reasoning=192, tools=BOTH, api="gemini.generate")
    book.call("gemini-2.5-flash", (2917, 401), read=2560, reasoning=256, api="gemini.generate")


@payload("adk__google-adk__hand__S4.nested", "google_adk", session_id="session-4711")
def adk_nested(book: Book) -> None:
    """Experimental mode: generate_content inside call_llm, both with the usage, thoughts included; messages in a log record; no call id."""
    root, outer, inner = book.id("root"), book.id("outer"), book.id("inner")
    usage = {
        "gen_ai.usage.input_tokens": 2203,
        "gen_ai.usage.output_tokens": 311,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.reasoning.output_tokens": 192,
    }
    book.span(
        "generate_content gemini-2.5-flash",
        "gcp.vertex.agent",
        20,
        400,
        usage
        | {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.system": "gemini",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.agent.name": "travel",
            "gen_ai.conversation.id": "session-4711",
            "gen_ai.response.finish_reasons": ["stop"],
        },
        parent=outer,
        span_id=inner,
    )
    book.span(
        "call_llm",
        "gcp.vertex.agent",
        10,
        410,
        ADK
        | usage
        | {
            "gen_ai.request.model": "gemini-2.5-flash",
            "gcp.vertex.agent.llm_request": "{}",
            "gcp.vertex.agent.llm_response": "{}",
        },
        parent=root,
        span_id=outer,
    )
    book.span(
        "execute_tool get_weather",
        "gcp.vertex.agent",
        420,
        430,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.type": "FunctionTool",
            "gen_ai.tool.call.id": "<not specified>",
            "gcp.vertex.agent.tool_call_args": "{}",
            "gcp.vertex.agent.tool_response": "{}",
        },
        parent=outer,
    )
    book.span(
        "invoke_workflow travel",
        "gcp.vertex.agent",
        0,
        450,
        {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "travel", "gen_ai.workflow.nested": False},
        parent=book.id("node"),
        span_id=root,
    )
    book.span(
        "invoke_node start",
        "gcp.vertex.agent",
        0,
        460,
        {"gcp.vertex.agent.associated_event_ids": ["ev-1"]},
        span_id=book.id("node"),
    )
    details = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.input.messages": [
            {
                "role": "user",
                "parts": [
                    {"type": "text", "content": ASKED},
                    {"type": "file_data", "file_uri": "gs://a/b", "mime_type": "image/png"},
                    {"type": "blob", "data": b"\x89PNG", "mime_type": "image/png"},
                ],
            }
        ],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": "get_weather_0", "name": "get_weather", "arguments": {"city": "Paris"}}
                ],
                "finish_reason": "tool_call",
            }
        ],
        "gen_ai.system_instructions": [{"type": "text", "content": SYSTEM}],
    }
    book.log("gcp.vertex.agent", 405, details, event_name="gen_ai.client.inference.operation.details", span=inner)
    book.call("gemini-2.5-flash", (2203, 311), read=1024, reasoning=192, tools=(WEATHER,), api="gemini.generate")
    book.facts["notes"] = ["the tool's span has no call id"]


@payload("mlflow__mlflow__hand__S4", "mlflow", session_id="session-4711")
def mlflow(book: Book) -> None:
    """MLflow: every value is JSON in a string, strings included; the trace's totals repeat the calls'."""
    scope, root = "mlflow", book.id("root")

    def quoted(values: dict[str, Any]) -> dict[str, Any]:
        return {key: text(value) for key, value in values.items()}

    for number, (start, counts, answer) in enumerate(
        (
            (
                10,
                (907, 43),
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "call_paris",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": PARIS},
                        }
                    ],
                },
            ),
            (500, (1151, 59), {"role": "assistant", "content": WARM}),
        )
    ):
        used = {"input_tokens": counts[0], "output_tokens": counts[1], "total_tokens": sum(counts)}
        price = {
            "input_cost": counts[0] * 0.15e-6,
            "output_cost": counts[1] * 0.6e-6,
            "total_cost": counts[0] * 0.15e-6 + counts[1] * 0.6e-6,
        }
        book.span(f"Completions_{number}", scope, start, start + 400, quoted({"mlflow.spanType": "CHAT_MODEL", "mlflow.traceRequestId": "tr-1", "mlflow.spanInputs": {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}]}, "mlflow.spanOutputs": {"id": f"chatcmpl-{number}", "choices": [{"message": answer, "finish_reason": "stop"}]}, "mlflow.chat.tokenUsage": used, "mlflow.llm.cost": price, "mlflow.llm.model": "gpt-4o-mini", "mlflow.llm.provider": "openai", "mlflow.message.format": "openai", "mlflow.spanFunctionName": "create"}), parent=root)  # fmt: skip
        book.call("gpt-4o-mini", counts, tools=(WEATHER,) if not number else (), response_id=f"chatcmpl-{number}")
    book.span(
        "get_weather",
        scope,
        420,
        430,
        quoted(
            {
                "mlflow.spanType": "TOOL",
                "mlflow.traceRequestId": "tr-1",
                "mlflow.spanInputs": {"city": "Paris"},
                "mlflow.spanOutputs": "21 degrees",
                "mlflow.spanFunctionName": "get_weather",
            }
        ),
        parent=root,
    )
    book.span("travel", scope, 0, 950, quoted({"mlflow.spanType": "AGENT", "mlflow.traceRequestId": "tr-1", "mlflow.experimentId": "0", "mlflow.spanInputs": {"question": ASKED}, "mlflow.spanOutputs": WARM, "mlflow.trace.tokenUsage": {"input_tokens": 2058, "output_tokens": 102, "total_tokens": 2160}, "mlflow.trace.cost": {"total_cost": 0.0003699}, "mlflow.trace.session": "session-4711", "mlflow.trace.user": "user-42"}), span_id=root)  # fmt: skip


@payload("openllmetry__guardrails__hand__refused", "openllmetry", tool_calls=0)
def openllmetry_guardrails(book: Book) -> None:
    """OpenLLMetry's guardrails: a group with two guards, one of which fails."""
    scope, root, group = "traceloop.tracer", book.id("root"), book.id("group")
    who = {"traceloop.workflow.name": "travel", "traceloop.association.properties.session_id": "session-4711"}
    book.span(
        "openai.chat",
        "opentelemetry.instrumentation.openai",
        10,
        400,
        who
        | {
            "llm.request.type": "chat",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.output_tokens": 73,
            "gen_ai.response.finish_reasons": ["stop"],
        },
        parent=root,
        kind=CLIENT,
    )
    for number, (name, status, output) in enumerate(
        (("pii-detector", "PASSED", "{}"), ("toxicity", "FAILED", text({"is_safe": False})))
    ):
        book.span(
            f"{name}.guard",
            scope,
            410 + number,
            430 + number,
            who
            | {
                "gen_ai.guardrail.name": name,
                "gen_ai.guardrail.status": status,
                "gen_ai.guardrail.duration": 20,
                "gen_ai.guardrail.input": text({"text": "..."}),
                "gen_ai.guardrail.output": output,
            },
            parent=group,
        )
    book.span(
        "output.guardrail",
        scope,
        405,
        440,
        who
        | {
            "gen_ai.guardrail.name": "output",
            "gen_ai.guardrail.status": "FAILED",
            "gen_ai.guardrail.duration": 35,
            "gen_ai.guardrail.guard_count": 2,
            "gen_ai.guardrail.failed_guard_count": 1,
        },
        parent=root,
        span_id=group,
    )
    book.span(
        "travel.workflow",
        scope,
        0,
        450,
        who
        | {
            "traceloop.span.kind": "workflow",
            "traceloop.entity.name": "travel",
            "traceloop.entity.input": text({"question": ASKED}),
        },
        span_id=root,
    )
    book.call("gpt-4o-mini-2024-07-18", (1481, 73), response_id="chatcmpl-a", requested="gpt-4o-mini")
    book.facts |= {
        "session_id": "session-4711",
        "gates": [gate("allow", None, None, name="pii-detector"), gate("deny", None, None, name="toxicity")],
        "notes": ["the group's span repeats its worst guard"],
    }


@payload("openllmetry__openai-agents__hand__S9", "openllmetry", handoffs=1)
def openllmetry_handoff(book: Book) -> None:
    """A handover with both names, as the newer instrumentation has it."""
    scope, root, triage, expert = (
        "opentelemetry.instrumentation.openai_agents",
        book.id("root"),
        book.id("triage"),
        book.id("expert"),
    )
    for parent, start, counts, ident in ((triage, 10, (823, 31), "resp_a"), (expert, 500, (937, 71), "resp_b")):
        book.span(
            "openai.response",
            scope,
            start,
            start + 400,
            {
                "llm.request.type": "response",
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
                "gen_ai.response.id": ident,
                "gen_ai.usage.input_tokens": counts[0],
                "gen_ai.usage.output_tokens": counts[1],
            },
            parent=parent,
            kind=CLIENT,
        )
        book.call("gpt-4o-mini-2024-07-18", counts, response_id=ident, requested="gpt-4o-mini", api="openai.responses")
    book.span(
        "Triage → Expert.handoff",
        scope,
        420,
        421,
        {
            "traceloop.span.kind": "handoff",
            "gen_ai.system": "openai_agents",
            "gen_ai.handoff.from_agent": "Triage",
            "gen_ai.handoff.to_agent": "Expert",
            "gen_ai.operation.name": "handoff",
        },
        parent=triage,
    )
    book.span(
        "Triage.agent",
        scope,
        5,
        430,
        {
            "traceloop.span.kind": "agent",
            "gen_ai.agent.name": "Triage",
            "gen_ai.provider.name": "openai_agents",
            "gen_ai.operation.name": "invoke_agent",
        },
        parent=root,
        span_id=triage,
    )
    book.span(
        "Expert.agent",
        scope,
        490,
        910,
        {
            "traceloop.span.kind": "agent",
            "gen_ai.agent.name": "Expert",
            "gen_ai.provider.name": "openai_agents",
            "gen_ai.operation.name": "invoke_agent",
        },
        parent=root,
        span_id=expert,
    )
    book.span(
        "Agent Workflow",
        scope,
        0,
        920,
        {
            "traceloop.span.kind": "workflow",
            "traceloop.workflow.name": "Agent Workflow",
            "gen_ai.conversation.id": "session-4711",
        },
        span_id=root,
    )


@payload("openllmetry__crewai__hand__S4", "openllmetry")
def openllmetry_crewai(book: Book) -> None:
    """CrewAI: crew and task both are invoke_agent with the sum; a tool reported as a task with a status."""
    scope, crew, task = "opentelemetry.instrumentation.crewai", book.id("crew"), book.id("task")
    summed = {
        "gen_ai.usage.input_tokens": 2058,
        "gen_ai.usage.output_tokens": 102,
        "gen_ai.usage.total_tokens": 2160,
        "gen_ai.provider.name": "crewai",
        "gen_ai.operation.name": "invoke_agent",
    }
    for start, counts, ident in ((20, (907, 43), "chatcmpl-a"), (500, (1151, 59), "chatcmpl-b")):
        book.span(
            "gpt-4o-mini.llm",
            scope,
            start,
            start + 400,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.response.id": ident,
                "gen_ai.usage.input_tokens": counts[0],
                "gen_ai.usage.output_tokens": counts[1],
            },
            parent=task,
            kind=CLIENT,
        )
        book.call("gpt-4o-mini", counts, response_id=ident, tools=(WEATHER,) if ident.endswith("a") else ())
    book.span(
        "get_weather.tool",
        scope,
        430,
        440,
        {
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": "get_weather",
            "traceloop.entity.input": text({"inputs": {"city": "Paris"}}),
            "traceloop.entity.output": text({"output": "21 degrees"}),
            "gen_ai.task.id": "t-1",
            "gen_ai.task.status": "success",
            "gen_ai.task.parent.id": "t-0",
        },
        parent=task,
    )
    book.span(
        "travel.task",
        scope,
        10,
        910,
        summed | {"traceloop.span.kind": "task", "crewai.task.id": "t-0", "crewai.agent.role": "travel agent"},
        parent=crew,
        span_id=task,
    )
    book.span(
        "crewai.workflow",
        scope,
        0,
        920,
        summed | {"traceloop.span.kind": "workflow", "crewai.crew.id": "c-1", "crewai.crew.process": "sequential"},
        span_id=crew,
    )
    book.facts["notes"] = ["the tool's span has no call id"]


@payload("vercel-new__ai7__hand__refused", "vercel_ai", tool_calls=0, gates=[gate("deny", "user", 0)])
def vercel_refused(book: Book) -> None:
    """The approval as it is documented: ids and the verdict in the part."""
    root, step = book.id("root"), book.id("step")
    asked = {
        "role": "assistant",
        "parts": [
            {"type": "tool_call", "id": "call_paris", "name": "get_weather", "arguments": {"city": "Paris"}},
            {"type": "tool_approval_request", "approval_id": "ap-1", "tool_call_id": "call_paris"},
        ],
    }
    told = [
        {"role": "user", "parts": [{"type": "text", "content": ASKED}]},
        asked,
        {
            "role": "tool",
            "parts": [
                {"type": "tool_approval_response", "approval_id": "ap-1", "approved": False, "reason": "not now"},
                {"type": "tool_call_response", "id": "call_paris", "response": {"denied": True, "reason": "not now"}},
            ],
        },
    ]
    book.span(
        "chat gpt-4o-mini",
        "gen_ai",
        10,
        400,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-b",
            "gen_ai.usage.input_tokens": 1151,
            "gen_ai.usage.output_tokens": 59,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.input.messages": text(told),
            "gen_ai.client.operation.duration": 0.39,
            "gen_ai.client.operation.time_to_first_chunk": 0.12,
        },
        parent=step,
        kind=CLIENT,
    )
    book.span("step 1", "gen_ai", 5, 405, {"gen_ai.operation.name": "agent_step"}, parent=root, span_id=step)
    book.span(
        "invoke_agent gpt-4o-mini",
        "gen_ai",
        0,
        410,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.agent.name": "travel",
            "gen_ai.usage.input_tokens": 1151,
            "gen_ai.usage.output_tokens": 59,
        },
        span_id=root,
    )
    book.served.append({"api": "openai.chat", "model": "gpt-4o-mini-2024-07-18", "model_requested": "gpt-4o-mini", "status": 200, "stream": False, "request_id": None, "response_id": "chatcmpl-b", "usage": {"input": 1151, "output": 59, "cacheRead": 0, "cacheWrite": 0, "reasoning": 0}, "usage_on_wire": True, "finish": "stop", "tools": [{"name": "get_weather", "args": {"city": "Paris"}, "id": "call_paris"}]})  # fmt: skip
    book.facts["notes"] = ["the call that asked for the tool was made in an earlier trace that is not here"]


def interrupted(book: Book, scope: str, extra: Callable[[str], dict[str, Any]], raised: str) -> None:
    """A graph that stops for a person, and its second run that goes on: the interrupt is no error."""
    second = book.id("second trace", 16)
    for trace, start, counts, ident, tools in (
        (book.trace, 0, (907, 43), "chatcmpl-a", (WEATHER,)),
        (second, 5000, (1151, 59), "chatcmpl-b", ()),
    ):
        root = book.id(f"root {start}")
        book.span(
            "chat gpt-4o-mini",
            scope,
            start + 10,
            start + 400,
            extra("chat")
            | {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.response.id": ident,
                "gen_ai.usage.input_tokens": counts[0],
                "gen_ai.usage.output_tokens": counts[1],
            },
            parent=root,
            kind=CLIENT,
            trace=trace,
        )
        book.call("gpt-4o-mini", counts, tools=tools, response_id=ident)
        if start:
            book.span(
                "execute_tool get_weather",
                scope,
                start + 2,
                start + 8,
                extra("tool")
                | {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "get_weather",
                    "gen_ai.tool.call.id": "call_paris",
                    "gen_ai.tool.call.result": "21 degrees",
                },
                parent=root,
                trace=trace,
            )
            book.span(
                "invoke_agent travel",
                scope,
                start,
                start + 420,
                extra("agent")
                | {
                    "gen_ai.operation.name": "invoke_agent",
                    "gen_ai.agent.name": "travel",
                    "gen_ai.conversation.id": "session-4711",
                },
                span_id=root,
                trace=trace,
            )
        else:
            exception = [
                (
                    "exception",
                    405.0,
                    {
                        "exception.type": raised,
                        "exception.message": "(Interrupt(value='get_weather?', id='i-1'),)",
                        "exception.stacktrace": "Traceback (most recent call last): ...",
                    },
                )
            ]
            book.span(
                "execute_tool get_weather",
                scope,
                402,
                405,
                extra("tool")
                | {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "get_weather",
                    "gen_ai.tool.call.id": "call_paris",
                    "error.type": raised,
                },
                parent=root,
                status=ERROR,
                message="GraphInterrupt((Interrupt(...),))",
                events=exception,
            )
            book.span(
                "invoke_agent travel",
                scope,
                0,
                410,
                extra("agent")
                | {
                    "gen_ai.operation.name": "invoke_agent",
                    "gen_ai.agent.name": "travel",
                    "gen_ai.conversation.id": "session-4711",
                    "error.type": raised,
                },
                span_id=root,
                status=ERROR,
                events=exception,
            )
    book.facts |= {
        "runs": 2,
        "session_id": "session-4711",
        "tool_calls": 1,
        "gates": [gate("require_approval", None, 0)],
    }


@payload("otel__langgraph__hand__interrupted", "otel_genai")
def langgraph_interrupt(book: Book) -> None:
    interrupted(book, "opentelemetry.instrumentation.langgraph", lambda _: {}, "GraphInterrupt")


@payload("openllmetry__langgraph__hand__interrupted", "openllmetry")
def openllmetry_interrupt(book: Book) -> None:
    kinds = {
        "chat": {"llm.request.type": "chat"},
        "tool": {"traceloop.span.kind": "tool", "traceloop.entity.name": "get_weather"},
        "agent": {"traceloop.span.kind": "workflow", "traceloop.entity.name": "LangGraph"},
    }
    interrupted(
        book,
        "opentelemetry.instrumentation.langchain",
        lambda what: kinds[what] | {"traceloop.workflow.name": "LangGraph"},
        "langgraph.errors.GraphInterrupt",
    )


@payload("pydantic-ai__pydantic-ai__hand__interrupted", "pydantic_ai")
def pydantic_deferral(book: Book) -> None:
    """A tool that waits for an approval: deferred, not failed (from version 5 of the format on)."""
    root = book.id("root")
    book.span(
        "chat gpt-4o-mini",
        "pydantic-ai",
        10,
        400,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.usage.input_tokens": 907,
            "gen_ai.usage.output_tokens": 43,
            "operation.cost": 0.00016185,
        },
        parent=root,
        kind=CLIENT,
    )
    book.span(
        "execute_tool get_weather",
        "pydantic-ai",
        410,
        411,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.call.id": "call_paris",
            "gen_ai.tool.call.arguments": PARIS,
            "pydantic_ai.tool.deferral.name": "ApprovalRequired",
            "pydantic_ai.tool.deferral.metadata": text({"why": "costs money"}),
        },
        parent=root,
    )
    book.span(
        "invoke_agent travel",
        "pydantic-ai",
        0,
        420,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "travel",
            "gen_ai.agent.call.id": "run-1",
            "gen_ai.conversation.id": "session-4711",
            "gen_ai.aggregated_usage.input_tokens": 907,
            "gen_ai.aggregated_usage.output_tokens": 43,
            "model_name": "gpt-4o-mini",
        },
        span_id=root,
    )
    book.call("gpt-4o-mini-2024-07-18", (907, 43), tools=(WEATHER,), response_id="chatcmpl-a", requested="gpt-4o-mini")
    book.facts |= {"tool_calls": 0, "session_id": "session-4711", "gates": [gate("require_approval", None, 0)]}


@payload("mcp__mcp__hand__S4", "mcp")
def mcp_nested(book: Book) -> None:
    """One tool call, three spans: the agent's, the client's and the server's; the tool fails in-band, and one call is the client's fault."""
    tool, client, server = book.id("tool"), book.id("client"), book.id("server")
    common = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "get_weather",
        "mcp.session.id": "m-1",
        "jsonrpc.request.id": "2",
        "mcp.protocol.version": "2025-06-18",
    }
    book.span(
        "tools/call get_weather",
        "weather-server",
        30,
        60,
        common | {"error.type": "tool_error", "network.transport": "pipe"},
        parent=client,
        kind=SERVER,
        span_id=server,
        resource={"service.name": "weather"},
        status=ERROR,
    )
    book.span(
        "tools/call get_weather",
        "mcp",
        20,
        70,
        common | {"error.type": "tool_error"},
        parent=tool,
        kind=CLIENT,
        span_id=client,
        status=ERROR,
    )
    book.span(
        "execute_tool get_weather",
        "opentelemetry.instrumentation.openai_agents",
        10,
        80,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.call.id": "call_paris",
            "gen_ai.tool.call.arguments": PARIS,
        },
        parent=book.id("root"),
        span_id=tool,
    )
    book.span(
        "tools/list",
        "mcp",
        1,
        5,
        {"mcp.method.name": "tools/list", "mcp.session.id": "m-1", "jsonrpc.request.id": "1"},
        parent=book.id("root"),
        kind=CLIENT,
    )
    book.span(
        "tools/call nothing",
        "weather-server",
        90,
        91,
        {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "nothing",
            "jsonrpc.request.id": "3",
            "rpc.response.status_code": "-32602",
            "error.type": "-32602",
        },
        parent=book.id("root"),
        kind=SERVER,
        resource={"service.name": "weather"},
    )
    book.span(
        "invoke_agent travel",
        "opentelemetry.instrumentation.openai_agents",
        0,
        100,
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "travel", "gen_ai.provider.name": "openai"},
        span_id=book.id("root"),
    )
    book.facts |= {
        "tool_calls": 2,
        "notes": [
            "one tool call is client and server under the agent's tool span, one is only the server's; -32602 is no error of the server"
        ],
    }


# OpenTelemetry's own, older -------------------------------------------------------------------------------------------------------


def old_call(
    book: Book, name: str, attributes: dict[str, Any], events: list[tuple[str, float, dict[str, Any]]]
) -> bytes:
    return book.span(
        name,
        "opentelemetry.instrumentation.openai_v2",
        0,
        400,
        {
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.response.finish_reasons": ["stop"],
        }
        | attributes,
        kind=CLIENT,
        events=events,
    )


@payload("otel__openai-chat__hand__S1.126", "otel_genai_1_36")
def otel_126(book: Book) -> None:
    """1.26: no operation name, prompt and completion tokens, messages as JSON in two span events."""
    old_call(book, "chat gpt-4o-mini", {"gen_ai.usage.prompt_tokens": 1481, "gen_ai.usage.completion_tokens": 73}, [
        ("gen_ai.content.prompt", 1, {"gen_ai.prompt": text([{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}])}),
        ("gen_ai.content.completion", 399, {"gen_ai.completion": text([{"role": "assistant", "content": WARM}])}),
    ])  # fmt: skip
    book.call("gpt-4o-mini-2024-07-18", (1481, 73), response_id="chatcmpl-a", requested="gpt-4o-mini")


@payload("otel__openai-chat__hand__S4.128events", "otel_genai_1_36")
def otel_128_span_events(book: Book) -> None:
    """1.28 as span events, as some emitters sent them: attributes instead of a body."""
    calls = text([{"id": "call_paris", "type": "function", "function": {"name": "get_weather", "arguments": PARIS}}])
    old_call(book, "chat gpt-4o-mini", {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 907, "gen_ai.usage.output_tokens": 43}, [
        ("gen_ai.system.message", 1, {"gen_ai.system": "openai", "content": SYSTEM}), ("gen_ai.user.message", 1, {"gen_ai.system": "openai", "content": ASKED, "role": "user"}),
        ("gen_ai.choice", 399, {"gen_ai.system": "openai", "index": 0, "finish_reason": "tool_calls", "message": text({"role": "assistant", "tool_calls": json.loads(calls)})}),
    ])  # fmt: skip
    book.call("gpt-4o-mini-2024-07-18", (907, 43), tools=(WEATHER,), response_id="chatcmpl-a", requested="gpt-4o-mini")
    book.facts["notes"] = ["the tool's execution is not instrumented"]


@payload("otel__openai-chat__hand__S4.136logs", "otel_genai_1_36")
def otel_136_logs(book: Book) -> None:
    """1.36: one log record a message, named in the record's event name, a structured body, after the span and in another request."""
    scope = "opentelemetry.instrumentation.openai_v2"
    span = old_call(
        book,
        "chat gpt-4o-mini",
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1151, "gen_ai.usage.output_tokens": 59},
        [],
    )
    said = [
        ("gen_ai.system.message", {"content": SYSTEM}),
        ("gen_ai.user.message", {"content": ASKED}),
        (
            "gen_ai.assistant.message",
            {
                "tool_calls": [
                    {"id": "call_paris", "type": "function", "function": {"name": "get_weather", "arguments": PARIS}}
                ]
            },
        ),
        ("gen_ai.tool.message", {"id": "call_paris", "content": "21 degrees"}),
        ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": WARM}}),
    ]
    book.new_request()
    for name, body in said:
        book.log(scope, 400, {"gen_ai.system": "openai"}, body=body, event_name=name, span=span)
    book.call("gpt-4o-mini-2024-07-18", (1151, 59), response_id="chatcmpl-a", requested="gpt-4o-mini")


@payload("langsmith__langchain__hand__S4.bytes", "langsmith", session_id="session-4711")
def langsmith_bytes(book: Book) -> None:
    """LangSmith from Python: content as bytes, details as a Python dict's repr, finish reasons in one string, a prompt that claims to be a chat."""
    scope, root = "langsmith", book.id("root")
    meta = {
        "langsmith.metadata.session_id": "session-4711",
        "langsmith.trace.session_name": "travel",
        "langsmith.trace.session_id": "project-uuid",
        "langsmith.span.tags": "a, b",
        "gen_ai.system": "langchain",
    }
    for number, (start, counts, read, reasoning, finish) in enumerate(
        ((10, (2203, 311), 1024, 192, "tool_calls"), (600, (2917, 401), 2560, 256, "stop"))
    ):
        details = {
            "gen_ai.usage.input_token_details": f"{{'audio': 0, 'cache_read': {read}}}",
            "gen_ai.usage.output_token_details": f"{{'audio': 0, 'reasoning': {reasoning}}}",
        }
        book.span("ChatOpenAI", scope, start, start + 400, meta | details | {"langsmith.span.kind": "llm", "langsmith.trace.name": "ChatOpenAI", "gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "o4-mini", "gen_ai.usage.input_tokens": counts[0], "gen_ai.usage.output_tokens": counts[1], "gen_ai.usage.total_tokens": sum(counts), "gen_ai.response.finish_reasons": f"{finish}, {finish}", "gen_ai.prompt": text({"messages": [[{"id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {"content": ASKED, "type": "human"}}]]}).encode(), "gen_ai.completion": text({"generations": [[{"text": WARM, "message": {"kwargs": {"content": WARM, "type": "ai"}}}]]}).encode()}, parent=root, status=OK)  # fmt: skip
        book.call("o4-mini", counts, read=read, reasoning=reasoning, tools=(WEATHER,) if not number else ())
    book.span(
        "get_weather",
        scope,
        420,
        430,
        meta
        | {
            "langsmith.span.kind": "tool",
            "langsmith.trace.name": "get_weather",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.prompt": b"{'city': 'Paris'}",
            "gen_ai.completion": b'{"output": "21 degrees"}',
        },
        parent=root,
        status=OK,
    )
    book.span(
        "ChatPromptTemplate",
        scope,
        1,
        2,
        meta
        | {
            "langsmith.span.kind": "prompt",
            "langsmith.trace.name": "ChatPromptTemplate",
            "gen_ai.operation.name": "chat",
        },
        parent=root,
        status=OK,
    )
    book.span(
        "retriever",
        scope,
        3,
        9,
        meta
        | {
            "langsmith.span.kind": "retriever",
            "langsmith.trace.name": "retriever",
            "gen_ai.operation.name": "embeddings",
        },
        parent=root,
        status=OK,
    )
    book.span(
        "AgentExecutor",
        scope,
        0,
        1010,
        meta
        | {"langsmith.span.kind": "chain", "langsmith.trace.name": "AgentExecutor", "gen_ai.operation.name": "chain"},
        span_id=root,
        status=OK,
    )
    book.facts["notes"] = ["the tool's span has no call id"]


@payload("haystack__haystack__hand__refused", "haystack", tool_calls=0, gates=[gate("deny", "user", 0)])
def haystack_hook(book: Book) -> None:
    """Haystack's agent with a hook that asks a person; usage only inside the component's output."""
    scope, root, step = "haystack", book.id("root"), book.id("step")
    reply = {
        "replies": [
            {
                "role": "assistant",
                "content": [
                    {"tool_call": {"tool_name": "get_weather", "arguments": {"city": "Paris"}, "id": "call_paris"}}
                ],
                "meta": {
                    "model": "gpt-4o-mini-2024-07-18",
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "usage": {
                        "prompt_tokens": 907,
                        "completion_tokens": 43,
                        "total_tokens": 950,
                        "prompt_tokens_details": {"cached_tokens": 0},
                        "completion_tokens_details": {"reasoning_tokens": 0},
                    },
                },
            }
        ]
    }
    book.span(
        "haystack.agent.step.llm",
        scope,
        10,
        400,
        {
            "haystack.component.name": "chat_generator",
            "haystack.component.type": "OpenAIChatGenerator",
            "haystack.component.input": text({"messages": [{"role": "user", "content": [{"text": ASKED}]}]}),
            "haystack.component.output": text(reply),
        },
        parent=step,
    )
    book.span(
        "haystack.agent.hook",
        scope,
        410,
        3410,
        {
            "haystack.agent.hook.name": "confirm",
            "haystack.agent.hook.point": "before_tool",
            "haystack.agent.hook.type": "ConfirmationHook",
            "haystack.agent.hook.human_in_the_loop.strategy.type": "BlockingConfirmationStrategy",
            "haystack.tool.name": "get_weather",
            "haystack.tool.call.id": "call_paris",
        },
        parent=step,
    )
    book.span("haystack.agent.step", scope, 5, 3420, {"haystack.agent.step": 0}, parent=root, span_id=step)
    book.span(
        "haystack.agent.run",
        scope,
        0,
        3430,
        {
            "haystack.agent.max_steps": 100,
            "haystack.agent.steps_taken": 1,
            "haystack.agent.tools": text([{"name": "get_weather"}]),
            "haystack.agent.exit_conditions": text(["text"]),
        },
        span_id=root,
    )
    book.call("gpt-4o-mini-2024-07-18", (907, 43), tools=(WEATHER,), requested="gpt-4o-mini")


@payload("langfuse__langfuse__hand__S1.old", "langfuse", session_id="session-4711")
def langfuse_old(book: Book) -> None:
    """The Python SDK up to 3.3.0: a generation of type span, told by its model; the first token's time is JSON in JSON; counts are disjoint."""
    usage = {"input": 573, "input_cached_tokens": 2048, "output": 155, "output_reasoning_tokens": 128, "total": 2904}
    book.span("openai.chat", "langfuse-sdk", 0, 900, {"langfuse.observation.type": "span", "langfuse.observation.model.name": "o4-mini", "langfuse.observation.model.parameters": text({"temperature": 1}), "langfuse.observation.input": text([{"role": "user", "content": ASKED}]), "langfuse.observation.output": text({"role": "assistant", "content": WARM}), "langfuse.observation.usage_details": text(usage), "langfuse.observation.cost_details": text({"input": 0.00063, "output": 0.00068, "total": 0.00131}), "langfuse.observation.completion_start_time": text("2026-01-01T00:00:00.250000Z"), "langfuse.user.id": "user-42", "langfuse.session.id": "session-4711", "langfuse.observation.level": "DEFAULT"})  # fmt: skip
    book.span(
        "broken",
        "langfuse-sdk",
        910,
        920,
        {
            "langfuse.observation.type": "tool",
            "langfuse.observation.level": "ERROR",
            "langfuse.observation.status_message": "no weather station",
            "langfuse.session.id": "session-4711",
        },
        parent=book.id("span 1"),
    )
    book.call("o4-mini", (2621, 283), read=2048, reasoning=128)
    book.facts |= {"tool_calls": 1, "notes": ["the tool has no call id; its error is a level, not a status"]}


@payload("livekit__livekit__hand__S4", "livekit")
def livekit(book: Book) -> None:
    """LiveKit before content moved under pii: request and attempt nest, the attempt repeats the usage."""
    scope, session, turn, node, request = (
        "livekit-agents",
        *(book.id(name) for name in ("session", "turn", "node", "request")),
    )
    usage = {
        "gen_ai.usage.input_tokens": 907,
        "gen_ai.usage.output_tokens": 43,
        "gen_ai.usage.input_cached_tokens": 512,
        "gen_ai.usage.input_text_tokens": 807,
        "gen_ai.usage.input_audio_tokens": 100,
        "gen_ai.usage.output_text_tokens": 43,
        "gen_ai.usage.output_audio_tokens": 0,
    }
    call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}
    book.span(
        "llm_request_run",
        scope,
        20,
        400,
        call | usage | {"lk.retry_count": 0, "lk.provider_request_ids": ["req_a"]},
        parent=request,
    )
    book.span(
        "llm_request",
        scope,
        15,
        405,
        call
        | usage
        | {
            "lk.response.ttft": 0.21,
            "langfuse.observation.completion_start_time": '"2026-01-01T00:00:00.225000Z"',
            "lk.llm_metrics": text({"type": "llm_metrics", "prompt_tokens": 907}),
        },
        parent=node,
        span_id=request,
        events=[
            ("gen_ai.user.message", 15, {"content": ASKED}),
            (
                "gen_ai.choice",
                400,
                {
                    "role": "assistant",
                    "tool_calls": [
                        text(
                            {
                                "function": {"name": "get_weather", "arguments": PARIS},
                                "id": "call_paris",
                                "type": "function",
                            }
                        )
                    ],
                },
            ),
        ],
    )
    book.span(
        "llm_node",
        scope,
        12,
        410,
        {
            "lk.chat_ctx": text({"items": [{"role": "user", "content": [ASKED]}]}),
            "lk.response.function_calls": text([{"name": "get_weather", "call_id": "call_paris"}]),
        },
        parent=turn,
        span_id=node,
    )
    book.span(
        "function_tool",
        scope,
        411,
        430,
        {
            "lk.function_tool.id": "call_paris",
            "lk.function_tool.name": "get_weather",
            "lk.function_tool.arguments": PARIS,
            "lk.function_tool.output": "no weather station",
            "lk.function_tool.is_error": True,
        },
        parent=turn,
    )
    book.span("tts_node", scope, 431, 900, {"lk.input_text": WARM, "lk.response.ttfb": 0.08}, parent=turn)
    book.span(
        "user_turn", scope, 0, 10, {"lk.user_transcript": ASKED, "lk.transcript_confidence": 0.98}, parent=session
    )
    book.span(
        "agent_turn",
        scope,
        11,
        910,
        {
            "lk.agent_turn_id": "at-1",
            "lk.generation_id": "g-1",
            "lk.speech_id": "sp-1",
            "lk.interrupted": True,
            "lk.e2e_latency": 0.3,
        },
        parent=session,
        span_id=turn,
    )
    book.span(
        "agent_session",
        scope,
        0,
        920,
        {"lk.agent_name": "travel", "lk.job_id": "job-1", "lk.room_name": "room"},
        span_id=session,
    )
    book.call("gpt-4o-mini", (907, 43), read=512, tools=(WEATHER,))


def simple(
    book: Book, scope: str, name: str, attributes: dict[str, Any], model: str = "gpt-4o-mini", **more: Any
) -> None:
    """One call of 1481 and 73 tokens."""
    book.span(name, scope, 0, 400, attributes, kind=CLIENT, **more)
    book.call(model, (1481, 73), response_id=attributes.get("gen_ai.response.id"))


PLAIN = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.id": "chatcmpl-a",
    "gen_ai.usage.input_tokens": 1481,
    "gen_ai.usage.output_tokens": 73,
}


@payload("openrouter__openrouter__hand__S1", "openrouter", {"service.name": "openrouter"})
def openrouter(book: Book) -> None:
    """A gateway's broadcast: OTel-shaped, with what it charged."""
    simple(
        book,
        "openrouter",
        "chat gpt-4o-mini",
        PLAIN | {"gen_ai.provider.name": "openai", "gen_ai.usage.cost": 0.00026595, "gen_ai.usage.total_tokens": 1554},
    )


@payload("braintrust__braintrust__hand__S1", "braintrust")
def braintrust(book: Book) -> None:
    simple(
        book,
        "braintrust",
        "Chat Completion",
        {
            "braintrust.parent": "project_id:p-1",
            "braintrust.span_attributes": text({"type": "llm", "name": "Chat Completion"}),
            "braintrust.input_json": text([{"role": "user", "content": ASKED}]),
            "braintrust.output_json": text([{"role": "assistant", "content": WARM}]),
            "braintrust.metadata": text({"model": "gpt-4o-mini"}),
            "braintrust.metrics": text(
                {"prompt_tokens": 1481, "completion_tokens": 73, "tokens": 1554, "time_to_first_token": 0.2}
            ),
        },
    )


@payload("pipecat__pipecat__hand__S1", "pipecat", session_id="conv-1")
def pipecat(book: Book) -> None:
    turn, talk = book.id("turn"), book.id("talk")
    book.span(
        "tts", "pipecat", 400, 800, {"conversation.id": "conv-1", "text": WARM, "metrics.ttfb": 0.05}, parent=turn
    )
    simple(
        book,
        "pipecat",
        "llm",
        {
            "conversation.id": "conv-1",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.operation.name": "chat",
            "gen_ai.output.type": "text",
            "input": text([{"role": "user", "content": ASKED}]),
            "output": WARM,
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.output_tokens": 73,
            "metrics.ttfb": 0.18,
            "stream": True,
        },
        parent=turn,
    )
    book.span(
        "turn",
        "pipecat",
        0,
        810,
        {"turn.number": 1, "turn.type": "conversation", "turn.was_interrupted": False, "conversation.id": "conv-1"},
        parent=talk,
        span_id=turn,
    )
    book.span(
        "conversation", "pipecat", 0, 820, {"conversation.id": "conv-1", "conversation.type": "voice"}, span_id=talk
    )


@payload("sentry__sentry__hand__S4", "sentry")
def sentry(book: Book) -> None:
    agent = book.id("agent")
    old = {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.messages": text([{"role": "user", "content": ASKED}]),
    }
    book.span(
        "chat gpt-4o-mini",
        "sentry.python.openai",
        10,
        400,
        old
        | {
            "sentry.op": "gen_ai.chat",
            "gen_ai.operation.name": "chat",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.response.text": text([WARM]),
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.input_tokens.cached": 1024,
            "gen_ai.usage.output_tokens": 73,
            "gen_ai.usage.output_tokens.reasoning": 0,
        },
        parent=agent,
        kind=CLIENT,
    )
    book.span(
        "execute_tool get_weather",
        "sentry.python.openai",
        410,
        420,
        {
            "sentry.op": "gen_ai.execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.input": PARIS,
            "gen_ai.tool.output": "21 degrees",
        },
        parent=agent,
    )
    book.span(
        "invoke_agent travel",
        "sentry.python.openai",
        0,
        430,
        {
            "sentry.op": "gen_ai.invoke_agent",
            "gen_ai.agent.name": "travel",
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.output_tokens": 73,
        },
        span_id=agent,
    )
    book.call(
        "gpt-4o-mini-2024-07-18",
        (1481, 73),
        read=1024,
        tools=(WEATHER,),
        response_id="chatcmpl-a",
        requested="gpt-4o-mini",
    )
    book.facts["notes"] = ["the tool's span has no call id"]


@payload("sigil__sigil__hand__S1", "sigil")
def sigil(book: Book) -> None:
    simple(
        book,
        "github.com/grafana/sigil/sdks/go",
        "generateText gpt-4o-mini",
        PLAIN
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "sigil.generation.id": "gen-1",
            "sigil.sdk.name": "sdk-go",
            "gen_ai.agent.name": "travel",
            "gen_ai.conversation.id": "session-4711",
        },
    )
    book.facts["session_id"] = "session-4711"


@payload("spring-ai__spring-ai__hand__S4", "spring_ai", session_id="session-4711")
def spring_ai(book: Book) -> None:
    """Spring AI: Micrometer's names, the client's observation around model and tool."""
    scope, client, advisor = "io.micrometer.tracing", book.id("client"), book.id("advisor")
    counts = {
        "gen_ai.usage.input_tokens": "1481",
        "gen_ai.usage.output_tokens": "73",
        "gen_ai.usage.total_tokens": "1554",
    }
    book.span(
        "chat gpt-4o-mini",
        scope,
        20,
        400,
        counts
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.response.finish_reasons": '["STOP"]',
        },
        parent=advisor,
        kind=CLIENT,
    )
    book.span(
        "tool_call get_weather",
        scope,
        410,
        420,
        {
            "spring.ai.kind": "tool_call",
            "gen_ai.operation.name": "framework",
            "gen_ai.system": "spring_ai",
            "spring.ai.tool.definition.name": "get_weather",
            "spring.ai.tool.call.arguments": PARIS,
            "spring.ai.tool.call.result": "21 degrees",
        },
        parent=advisor,
    )
    book.span(
        "call",
        scope,
        10,
        430,
        {
            "spring.ai.kind": "advisor",
            "gen_ai.operation.name": "framework",
            "gen_ai.system": "spring_ai",
            "spring.ai.advisor.name": "call",
            "spring.ai.advisor.order": "2147483647",
        },
        parent=client,
        span_id=advisor,
    )
    book.span(
        "spring_ai chat_client",
        scope,
        0,
        440,
        {
            "spring.ai.kind": "chat_client",
            "gen_ai.operation.name": "framework",
            "gen_ai.system": "spring_ai",
            "spring.ai.chat.client.stream": "false",
            "spring.ai.chat.client.conversation.id": "session-4711",
        },
        span_id=client,
    )
    book.call("gpt-4o-mini-2024-07-18", (1481, 73), tools=(WEATHER,), response_id="chatcmpl-a", requested="gpt-4o-mini")
    book.facts["notes"] = ["the tool's span has no call id"]


@payload("vllm__vllm__hand__S1.stacked", "vllm", stacked=True)
def vllm(book: Book) -> None:
    """The server's own span under the client's: one call seen from both ends."""
    client = book.id("client")
    book.span(
        "llm_request",
        "vllm.llm_engine",
        20,
        390,
        {
            "gen_ai.response.model": "gpt-4o-mini",
            "gen_ai.request.id": "chatcmpl-a",
            "gen_ai.usage.prompt_tokens": 1481,
            "gen_ai.usage.completion_tokens": 73,
            "gen_ai.latency.time_in_queue": 0.01,
            "gen_ai.latency.time_to_first_token": 0.12,
            "gen_ai.latency.e2e": 0.37,
        },
        parent=client,
        kind=SERVER,
        resource={"service.name": "vllm-server"},
    )
    book.span(
        "chat gpt-4o-mini",
        "opentelemetry.instrumentation.openai",
        0,
        400,
        PLAIN | {"gen_ai.provider.name": "openai"},
        kind=CLIENT,
        span_id=client,
    )
    book.call("gpt-4o-mini", (1481, 73), response_id="chatcmpl-a")


@payload("litellm__litellm__hand__S1.cached", "litellm")
def litellm_cached(book: Book) -> None:
    """A response out of the proxy's cache still shows the full price; the raw request below repeats the call."""
    call = book.id("call")
    book.span(
        "raw_gen_ai_request",
        "litellm",
        5,
        10,
        {
            "llm.openai.id": "chatcmpl-a",
            "llm.openai.model": "gpt-4o-mini",
            "llm.openai.usage": "{'completion_tokens': 73, 'prompt_tokens': 1481, 'total_tokens': 1554}",
        },
        parent=call,
    )
    book.span(
        "litellm_request",
        "litellm",
        0,
        12,
        PLAIN
        | {
            "gen_ai.system": "openai",
            "gen_ai.usage.total_tokens": 1554,
            "gen_ai.cost.input_cost": 0.00022215,
            "gen_ai.cost.output_cost": 0.0000438,
            "gen_ai.cost.total_cost": 0.00026595,
            "litellm.cost.total": 0.00026595,
            "metadata.cache_hit": "True",
            "metadata.user_api_key_end_user_id": "user-42",
        },
        span_id=call,
        kind=CLIENT,
    )
    book.call("gpt-4o-mini", (1481, 73), response_id="chatcmpl-a")
    book.facts["notes"] = [
        "served from the proxy's cache: the provider charged nothing, which is not told in a place of its own"
    ]


@payload("kagent__kagent__hand__S1", "otel_genai", session_id="ctx-1")
def kagent(book: Book) -> None:
    root = book.id("root")
    simple(
        book,
        "kagent",
        "chat gpt-4o-mini",
        PLAIN | {"gen_ai.provider.name": "openai", "kagent.app_name": "travel", "gen_ai.conversation.id": "ctx-1"},
        parent=root,
    )
    book.span(
        "invoke_agent travel",
        "kagent",
        0,
        410,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "travel",
            "a2a.task.id": "t-1",
            "a2a.context.id": "ctx-1",
            "kagent.user_id": "user-42",
        },
        span_id=root,
    )


@payload("logfire__openai__hand__S1.pending", "logfire")
def logfire_pending(book: Book) -> None:
    """A placeholder when the call starts, in an earlier request than the span itself; then a log that is a span of no length."""
    call = book.id("call")
    pending = {
        "logfire.span_type": "pending_span",
        "logfire.pending_parent_id": "0000000000000000",
        "logfire.msg": "Chat Completion with 'gpt-4o-mini'",
        "request_data": text({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": ASKED}]}),
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.system": "openai",
    }
    book.span("Chat Completion with {request_data[model]!r}", "logfire.openai", 0, 0, pending, parent=call)
    book.new_request()
    book.span(
        "Chat Completion with {request_data[model]!r}",
        "logfire.openai",
        0,
        400,
        pending
        | {
            "logfire.span_type": "span",
            "response_data": text(
                {
                    "message": {"role": "assistant", "content": WARM},
                    "usage": {"prompt_tokens": 1481, "completion_tokens": 73},
                }
            ),
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.usage.input_tokens": 1481,
            "gen_ai.usage.output_tokens": 73,
            "operation.cost": 0.00026595,
        },
        span_id=call,
        kind=CLIENT,
    )
    book.span(
        "note",
        "logfire",
        401,
        401,
        {"logfire.span_type": "log", "logfire.msg": "note", "logfire.level_num": 9},
        parent=call,
    )
    book.call("gpt-4o-mini-2024-07-18", (1481, 73), response_id="chatcmpl-a", requested="gpt-4o-mini")


@payload("openinference__decision__hand__S1", "openinference")
def openinference_rest(book: Book) -> None:
    """Kinds that captures do not show: a decision with counts of its own, a guardrail, an evaluator on a carrier span, masked values, a prompt."""
    scope, root = "openinference.instrumentation.guardrails", book.id("root")
    call = book.span(
        "ChatCompletion",
        "openinference.instrumentation.openai",
        10,
        400,
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o-mini",
            "llm.provider": "openai",
            "llm.system": "openai",
            "llm.token_count.prompt": 1481,
            "llm.token_count.completion": 73,
            "llm.token_count.total": 1554,
            "llm.cost.total": 0.00026595,
            "input.value": "__REDACTED__",
            "output.value": "__REDACTED__",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "__REDACTED__",
        },
        parent=root,
    )
    book.span(
        "route",
        scope,
        405,
        410,
        {
            "openinference.span.kind": "DECISION",
            "decision.model_name": "gpt-4o-mini",
            "decision.provider": "openai",
            "decision.token_count.input": 211,
            "decision.token_count.output": 3,
        },
        parent=root,
    )
    book.span(
        "toxic",
        scope,
        411,
        415,
        {"openinference.span.kind": "GUARDRAIL", "input.value": WARM, "output.value": "PASS"},
        parent=root,
    )
    book.span(
        "prompt",
        scope,
        1,
        2,
        {
            "openinference.span.kind": "PROMPT",
            "llm.prompt_template.template": "Hello {name}",
            "prompt.vendor": "phoenix",
            "prompt.id": "pr-1",
        },
        parent=root,
    )
    book.span(
        "evaluation",
        scope,
        9000,
        9001,
        {
            "openinference.span.kind": "EVALUATOR",
            "annotations.0.annotation.name": "helpful",
            "annotations.0.annotation.score": 0.9,
            "annotations.0.annotation.label": "yes",
            "annotations.0.annotation.annotator_kind": "LLM",
        },
        links=[call],
        trace=book.id("scores", 16),
    )
    book.span(
        "travel",
        scope,
        0,
        420,
        {
            "openinference.span.kind": "CHAIN",
            "session.id": "session-4711",
            "user.id": "user-42",
            "metadata": text({"tier": "gold"}),
            "tag.tags": ["a"],
        },
        span_id=root,
    )
    book.call("gpt-4o-mini", (1481, 73))
    book.call("gpt-4o-mini", (211, 3))
    book.facts |= {
        "session_id": "session-4711",
        "notes": [
            "whether a DECISION is a model call of its own is not settled: its counts are under decision.token_count"
        ],
    }


@payload("otel__newest__hand__S4", "otel_genai", session_id="session-4711")
def otel_newest(book: Book) -> None:
    """The newest conventions: modality counts, prompt names, memory, plan, evaluation, a response fetched later, content by reference."""
    scope, agent, call = "opentelemetry.instrumentation.genai.openai", book.id("agent"), book.id("call")
    who = {"gen_ai.conversation.id": "session-4711", "gen_ai.provider.name": "openai"}
    book.span(
        "plan travel", scope, 1, 5, who | {"gen_ai.operation.name": "plan", "gen_ai.agent.name": "travel"}, parent=agent
    )
    book.span("search_memory store", scope, 5, 9, who | {"gen_ai.operation.name": "search_memory"}, parent=agent)
    book.span("chat gpt-4o-mini", scope, 10, 400, who | {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": "resp_a", "gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.18, "gen_ai.response.finish_reasons": ["tool_call"], "gen_ai.usage.input_tokens": 2203, "gen_ai.usage.output_tokens": 311, "gen_ai.usage.cache_read.input_tokens": 1024, "gen_ai.usage.cache_write.input_tokens": 0, "gen_ai.usage.reasoning.output_tokens": 192, "gen_ai.usage.text.input_tokens": 2103, "gen_ai.usage.audio.input_tokens": 100, "gen_ai.prompt.name": "travel", "gen_ai.prompt.version": "3", "gen_ai.prompt.variable.city": "Paris", "gen_ai.input.messages_ref": "s3://bucket/in.json", "gen_ai.output.messages_ref": "s3://bucket/out.json"}, parent=agent, kind=CLIENT, span_id=call)  # fmt: skip
    book.span(
        "execute_tool get_weather",
        scope,
        410,
        420,
        who
        | {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": "call_paris",
            "gen_ai.tool.call.arguments": {"city": "Paris"},
            "gen_ai.tool.call.result": {"degrees": 21},
        },
        parent=agent,
    )
    book.span(
        "fetch_response",
        scope,
        430,
        440,
        who
        | {
            "gen_ai.operation.name": "fetch_response",
            "gen_ai.response.id": "resp_a",
            "gen_ai.usage.input_tokens": 2203,
            "gen_ai.usage.output_tokens": 311,
        },
        parent=agent,
        kind=CLIENT,
    )
    book.span(
        "invoke_agent travel",
        scope,
        0,
        450,
        who
        | {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "travel",
            "gen_ai.agent.id": "agent-1",
            "gen_ai.agent.version": "1.2.0",
            "gen_ai.usage.input_tokens": 2203,
            "gen_ai.usage.output_tokens": 311,
        },
        span_id=agent,
    )
    book.log(
        scope,
        500,
        {
            "gen_ai.evaluation.name": "helpful",
            "gen_ai.evaluation.score.value": 0.9,
            "gen_ai.evaluation.score.label": "yes",
            "gen_ai.evaluation.explanation": "short",
            "gen_ai.response.id": "resp_a",
        },
        event_name="gen_ai.evaluation.result",
        span=call,
    )
    book.call(
        "gpt-4o-mini-2024-07-18",
        (2203, 311),
        read=1024,
        reasoning=192,
        tools=(WEATHER,),
        response_id="resp_a",
        requested="gpt-4o-mini",
        stream=True,
    )


# Hostile --------------------------------------------------------------------------------------------------------------------------


@payload(
    "openllmetry__hostile__hand__keys", "openllmetry", notes=["indices are hostile: they must cost bounded memory"]
)
def hostile_keys(book: Book) -> None:
    """Indices that would make an array of a billion, names that mean something to other languages, gaps, depth, three thousand keys."""
    keys: dict[str, Any] = {
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": ASKED, "gen_ai.prompt.999999999.role": "user", "gen_ai.prompt.999999999.content": "far", "gen_ai.prompt.-1.role": "user", "gen_ai.prompt.1e9.role": "user",
        "gen_ai.prompt.18446744073709551616.content": "too large", "gen_ai.prompt.__proto__.role": "system", "gen_ai.prompt.constructor.prototype.x": "y", "gen_ai.prompt.0.tool_calls.999999999.name": "far", "gen_ai.prompt..content": "empty",
        "gen_ai.prompt.00.content": "leading zero", "gen_ai.prompt.0.0.0.0.0.0.0.0.0.content": "deep", "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": WARM, "gen_ai.completion.4294967296.content": "far",
    }  # fmt: skip
    keys |= {f"gen_ai.prompt.{number}.content": "x" for number in range(10, 3010)}
    book.span(
        "openai.chat",
        "opentelemetry.instrumentation.openai",
        0,
        400,
        keys
        | {
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.id": "chatcmpl-a",
            "gen_ai.usage.prompt_tokens": 1481,
            "gen_ai.usage.completion_tokens": 73,
        },
        kind=CLIENT,
    )
    book.call("gpt-4o-mini", (1481, 73), response_id="chatcmpl-a")


@payload(
    "otel__hostile__hand__values",
    "otel_genai",
    notes=[
        "numbers that are none, structures where text belongs, a span that is its own parent, a trace without an id"
    ],
)
def hostile_values(book: Book) -> None:
    """Wrong types and impossible numbers beside one good call."""
    deep: Any = "end"
    for _ in range(30):
        deep = [deep]
    odd = [
        {"gen_ai.usage.input_tokens": -5, "gen_ai.usage.output_tokens": 9_223_372_036_854_775_807}, {"gen_ai.usage.input_tokens": "twelve", "gen_ai.usage.output_tokens": ["1"]},
        {"gen_ai.usage.input_tokens": float("nan"), "gen_ai.usage.output_tokens": float("inf"), "gen_ai.usage.cost": float("-inf")}, {"gen_ai.usage.input_tokens": {"a": 1}, "gen_ai.usage.output_tokens": True},
        {"gen_ai.usage.input_tokens": 1e300, "gen_ai.response.finish_reasons": "stop", "gen_ai.input.messages": "{not json"}, {"gen_ai.input.messages": text([{"role": 7, "parts": "none"}, None, 3, {"parts": [{"type": []}]}]), "gen_ai.tool.definitions": "[" * 500},
        {"gen_ai.input.messages": deep, "gen_ai.operation.name": ["chat"], "gen_ai.request.model": 42}, {"gen_ai.conversation.id": "", "gen_ai.response.id": "", "gen_ai.agent.name": "x" * 5000},
    ]  # fmt: skip
    for number, values in enumerate(odd):
        book.span(
            "chat " * 3,
            "hostile",
            number * 10,
            number * 10 - 5,
            {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"} | values,
            kind=CLIENT,
        )
    own = book.id("own parent")
    book.span(
        "", "hostile", 90, 95, {"gen_ai.operation.name": "invoke_agent", "": "empty key"}, parent=own, span_id=own
    )
    book.span("chat gpt-4o-mini", "hostile", 100, 500, PLAIN | {"gen_ai.provider.name": "openai"}, kind=CLIENT)
    book.call("gpt-4o-mini", (1481, 73), response_id="chatcmpl-a")
    book.facts["broken_calls"] = len(odd)


@payload(
    "claude-code__hostile__hand__logs",
    "claude_code",
    {"service.name": "claude-code"},
    content=False,
    notes=["nothing but the first call can be believed"],
)
def hostile_logs(book: Book) -> None:
    """Log records without what joins them, with zero ids, with times that are no times."""
    scope = "com.anthropic.claude_code.events"
    book.log(
        scope,
        0,
        {
            "event.name": "api_request",
            "session.id": "s-1",
            "prompt.id": "p-1",
            "model": "claude-sonnet-4-5",
            "input_tokens": 1481,
            "output_tokens": 73,
            "cache_read_tokens": 0,
            "cache_creation_tokens": 0,
            "duration_ms": 400,
            "request_id": "req_a",
        },
        body="claude_code.api_request",
    )
    book.log(scope, 1, {"event.name": "api_request"}, body="claude_code.api_request")
    book.log(
        scope,
        2,
        {
            "event.name": "api_request",
            "session.id": "s-1",
            "model": "claude-sonnet-4-5",
            "input_tokens": "many",
            "output_tokens": -1,
            "duration_ms": -9_000_000_000_000,
        },
        body="claude_code.api_request",
    )
    book.log(scope, 3, {"event.name": "tool_result", "session.id": "s-1"}, body="claude_code.tool_result")
    book.log(
        scope,
        4,
        {
            "event.name": "tool_decision",
            "session.id": "s-1",
            "tool_use_id": "",
            "decision": "perhaps",
            "source": "nobody",
        },
        body="claude_code.tool_decision",
    )
    book.log(
        scope,
        5,
        {"event.name": "no_such_event", "session.id": "s-1"},
        body={"nested": [1, {"a": None}]},
        span=b"\0" * 8,
    )
    book.log(scope, -START / 1e6, {"event.name": ["user_prompt"]}, body="")
    book.call("claude-sonnet-4-5", (1481, 73), request_id="req_a", api="anthropic.messages", stream=True)


def main() -> None:
    """Write every payload."""
    for name, facts, resource, write in PAYLOADS:
        book = Book(name, resource)
        book.facts |= facts
        write(book)
        book.write()


if __name__ == "__main__":
    main()
