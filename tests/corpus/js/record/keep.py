"""Turns raw captures into files of the corpus: replaces machine facts, and writes a line of truth for each.

    python keep.py RAW FOLDER [NAME ...]

RAW is the folder a recorder wrote (``raw.jsonl`` beside the bodies); FOLDER gets the payloads and ``truth.jsonl``. Names select
captures by part of their name. The truth is what the scripted server served; the payload is only searched for what of it can be found again.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PRICES = {
    "gpt-4o-mini": ("0.15", "0.075", "0", "0.60"),
    "o4-mini": ("1.10", "0.275", "0", "4.40"),
    "gpt-5-codex": ("1.25", "0.125", "0", "10"),
    "text-embedding-3-small": ("0.02", "0", "0", "0"),
    "claude-sonnet-4-5": ("3", "0.30", "3.75", "15"),
    "claude-haiku-4-5": ("1", "0.10", "1.25", "5"),
    "gemini-2.5-flash": ("0.30", "0.03", "0", "2.50"),
    "gemini-2.5-flash-lite": ("0.10", "0.01", "0", "0.40"),
    "gemini-2.5-pro": ("1.25", "0.125", "0", "10"),
}
"""US dollars per million tokens at list: input, cache read, cache write (five minutes), output."""

FACTS_OF_MACHINES = re.compile(
    r"^(host\.(name|id|ip|mac)|os_release|os\.(version|build_id|description)|process\.(?!runtime\.(name|version)).*)$"
)
PERSONS = {"user.id": "0" * 64, "installation.id": "00000000-0000-0000-0000-000000000000"}
HANDLE = re.compile(r"^[0-9a-f]{64}$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
PORTS = ("server.port", "net.peer.port", "network.peer.port", "http.port")
EPHEMERAL = 20_000
LONG = ("gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.tool.description", "gen_ai.agent.description")
"""Attributes that hold the long texts an agent brings along; each text in them is cut after ``CUT`` characters."""
CUT = 120
REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}


class Scrubber:
    """Replaces paths, names and numbers of the machine a capture was made on, and nothing else."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.pairs = [
            (raw[key], kept)
            for key, kept in (("project", "/home/dev/project"), ("home", "/home/dev"), ("root", "/home"))
            if raw.get(key)
        ]
        self.patterns = [
            (re.compile(rf"\b{re.escape(socket.gethostname())}\b"), "host"),
            (re.compile(r"(127\.0\.0\.1|localhost):\d+"), r"\1:8080"),
            (re.compile(r"/[\w./@+-]*/node_modules/"), "/app/node_modules/"),
            (re.compile(r"/[\w./@+-]*/tests/corpus/(js|agents)/record/"), "/app/"),
        ]

    def text(self, value: str) -> str:
        for found, kept in self.pairs:
            value = value.replace(found, kept)
        for pattern, kept in self.patterns:
            value = pattern.sub(kept, value)
        return value

    def value(self, value: Any) -> None:
        kind = value.WhichOneof("value")
        if kind == "string_value":
            value.string_value = self.text(value.string_value)
        elif kind == "bytes_value":
            value.bytes_value = self.text(value.bytes_value.decode("utf-8", "surrogateescape")).encode(
                "utf-8", "surrogateescape"
            )
        elif kind == "array_value":
            for each in value.array_value.values:
                self.value(each)
        elif kind == "kvlist_value":
            self.attributes(value.kvlist_value.values)

    def attributes(self, pairs: Any) -> None:
        for pair in pairs:
            kind = pair.value.WhichOneof("value")
            if FACTS_OF_MACHINES.match(pair.key):
                if kind == "int_value":
                    pair.value.int_value = 1
                elif kind == "string_value":
                    pair.value.string_value = "scrubbed"
                else:
                    pair.value.Clear()
            elif pair.key in PORTS and kind == "int_value" and pair.value.int_value > EPHEMERAL:
                pair.value.int_value = 8080
            elif pair.key in PERSONS and kind == "string_value" and HANDLE.match(pair.value.string_value):
                pair.value.string_value = PERSONS[pair.key]
            elif pair.key in LONG and kind == "string_value":
                pair.value.string_value = shortened(self.text(pair.value.string_value))
            else:
                self.value(pair.value)

    def request(self, request: Any) -> None:
        for resource in getattr(request, "resource_spans", None) or getattr(request, "resource_logs", ()):
            self.attributes(resource.resource.attributes)
            for scope in getattr(resource, "scope_spans", None) or getattr(resource, "scope_logs", ()):
                self.attributes(scope.scope.attributes)
                for item in getattr(scope, "spans", None) or getattr(scope, "log_records", ()):
                    self.item(item)

    def item(self, item: Any) -> None:
        self.attributes(item.attributes)
        if hasattr(item, "body"):
            self.value(item.body)
            return
        item.name = self.text(item.name)
        item.status.message = self.text(item.status.message)
        for event in [*item.events, *item.links]:
            self.attributes(event.attributes)


def shortened(text: str) -> str:
    """A text, or a JSON document of texts, with every text cut."""

    def cut(value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) <= CUT else value[:CUT] + " ..."
        if isinstance(value, dict):
            return {key: cut(item) for key, item in value.items()}
        return [cut(item) for item in value] if isinstance(value, list) else value

    try:
        return json.dumps(cut(json.loads(text)), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return cut(text)


def bodies(path: Path) -> list[bytes]:
    """The bodies of a file of the corpus, in order of arrival."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def from_json(signal: str, body: bytes) -> Any:
    """An OTLP/JSON body as its message: ids are hexadecimal there, where protobuf's own JSON has base64."""

    def ids(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: __import__("base64").b64encode(bytes.fromhex(item)).decode()
                if key in ("traceId", "spanId", "parentSpanId")
                else ids(item)
                for key, item in value.items()
            }
        return [ids(item) for item in value] if isinstance(value, list) else value

    return Parse(json.dumps(ids(json.loads(body))), REQUESTS[signal](), ignore_unknown_fields=True)


def plain(value: Any) -> Any:
    """An ``AnyValue`` as a Python value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return value.bytes_value.decode("utf-8", "replace")
    return getattr(value, kind) if kind else None


def items(requests: list[Any]) -> list[tuple[str, dict[str, Any], str]]:
    """Each span or log record: its name, its attributes (events under ``event N``), and all of its text."""
    found = []
    for request in requests:
        for resource in getattr(request, "resource_spans", None) or getattr(request, "resource_logs", ()):
            for scope in getattr(resource, "scope_spans", None) or getattr(resource, "scope_logs", ()):
                for item in getattr(scope, "spans", None) or getattr(scope, "log_records", ()):
                    attributes = {pair.key: plain(pair.value) for pair in item.attributes}
                    name = (
                        item.event_name or str(attributes.get("event.name", ""))
                        if hasattr(item, "event_name")
                        else item.name
                    )
                    if hasattr(item, "body"):
                        attributes["body"] = plain(item.body)
                    else:
                        for at, event in enumerate(item.events):
                            attributes[f"event {at} {event.name}"] = {
                                pair.key: plain(pair.value) for pair in event.attributes
                            }
                    found.append((name, attributes, json.dumps(attributes, default=str)))
    return found


TOOL_MARKS = {
    "gen_ai.operation.name": ("execute_tool", "tool_call"), "openinference.span.kind": "TOOL", "traceloop.span.kind": "tool", "ai.operationId": "ai.toolCall",
    "genkit:metadata:subtype": "tool", "langfuse.observation.type": "tool", "langsmith.span.kind": "tool", "mlflow.spanType": '"TOOL"',
    "event.name": ("tool_result", "codex.tool_result", "gemini_cli.tool_call"), "lmnr.span.type": "TOOL", "agentops.span.kind": "tool",
    "gen_ai.span.kind": "TOOL", "codex.tool.phase": "dispatch",
}  # fmt: skip
TOOL_NAMES = ("claude_code.tool", "execute_tool", "running tool", "function_tool", "haystack.agent.step.tool")


def is_tool(name: str, attributes: dict[str, Any]) -> bool:
    """Whether a span or log record tells of one tool's execution."""
    if name in TOOL_NAMES or name.startswith("execute_tool "):
        return True
    return any(
        attributes.get(key) == mark or (isinstance(mark, tuple) and attributes.get(key) in mark)
        for key, mark in TOOL_MARKS.items()
    )


def numbers(text: str) -> set[int]:
    return {int(found) for found in re.findall(r"(?<![\w.])\d{1,9}(?![\w])(?!\.\d)", text)}


def dollars(model: str, usage: dict[str, int]) -> str | None:
    """What a call costs at list, as decimal text; None without a price."""
    known = [name for name in PRICES if model.startswith(name)]
    if not known:
        return None
    price = [Decimal(each) for each in PRICES[max(known, key=len)]]
    fresh = usage["input"] - usage["cacheRead"] - usage["cacheWrite"]
    total = (
        fresh * price[0] + usage["cacheRead"] * price[1] + usage["cacheWrite"] * price[2] + usage["output"] * price[3]
    )
    return decimal(total / 1_000_000)


def decimal(value: Decimal) -> str:
    return f"{value.normalize():f}"


def total(calls: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("input_tokens_total", "output_tokens_total", "cache_read", "cache_write", "reasoning")
    costs = [call["cost_usd_at_list"] for call in calls]
    return {
        **{name: sum(call[name] for call in calls) for name in names},
        "cost_usd_at_list": None if None in costs else decimal(sum((Decimal(cost) for cost in costs), Decimal())),
    }


def call_of(served: dict[str, Any]) -> dict[str, Any]:
    usage = served["usage"]
    return {
        "model": served["model"], "model_requested": served["model_requested"], "api": served["api"], "response_id": served.get("response_id"),
        "request_id": served["request_id"], "stream": served["stream"], "usage_on_wire": served["usage_on_wire"],
        "input_tokens_total": usage["input"], "output_tokens_total": usage["output"], "cache_read": usage["cacheRead"],
        "cache_write": usage["cacheWrite"], "reasoning": usage["reasoning"], "finish": served["finish"],
        "cost_usd_at_list": dollars(served["model"], usage),
    }  # fmt: skip


def truth_of(served: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """What the scripted server served, in the words of the corpus."""
    good = [each for each in served if each["status"] == 200]
    calls = [call_of(each) for each in good if each["api"] != "openai.embeddings"]
    embeddings = [call_of(each) for each in good if each["api"] == "openai.embeddings"]
    failed = facts.get("failed", int(bool(served) and served[-1]["status"] != 200))
    tools = [{"name": tool["name"], "args": tool["args"], "id": tool["id"]} for each in good for tool in each["tools"]]
    gates = [
        {**gate, "id": tools[gate["tool"]]["id"], "tool": tools[gate["tool"]]["name"]}
        if isinstance(gate["tool"], int)
        else gate
        for gate in facts.get("gates", [])
    ]
    found = {
        "model_calls": len(calls) + failed, "model_calls_failed": failed, "http_requests": len(served),
        "http_errors": sum(each["status"] != 200 for each in served), "tool_calls": facts.get("tool_calls", len(tools)),
        "handoffs": facts.get("handoffs", 0), "embeddings": len(embeddings), "retrievals": 0, "runs": facts.get("runs", 1),
        "session_id": facts.get("session_id"), "tools": tools, "gates": gates, "per_call": calls,
        "totals": total(calls + embeddings), "totals_on_wire": total([call for call in calls + embeddings if call["usage_on_wire"]]),
    }  # fmt: skip
    if embeddings:
        found["per_embedding"] = embeddings
    return found


def recoverable_of(
    truth: dict[str, Any], spans: list[tuple[str, dict[str, Any], str]], logs: list[tuple[str, dict[str, Any], str]]
) -> dict[str, Any]:
    """What of the truth the payload holds at all, found by its numbers and ids."""
    calls = [*truth["per_call"], *truth.get("per_embedding", [])]
    held = [numbers(text) for _, _, text in [*spans, *logs]]
    text, logged = " ".join(text for _, _, text in spans), " ".join(text for _, _, text in logs)

    def usage(call: dict[str, Any]) -> bool:
        inputs = {call["input_tokens_total"], call["input_tokens_total"] - call["cache_read"] - call["cache_write"]}
        outputs = {call["output_tokens_total"], call["output_tokens_total"] - call["reasoning"]}
        return any(inputs & found and (outputs & found or not call["output_tokens_total"]) for found in held)

    def kept(kind: str) -> int:
        return sum(any(call[kind] in found for found in held) for call in calls if call[kind])

    tools = [tool["id"] for tool in truth["tools"]]
    return {
        "model_calls_with_usage_on_wire": sum(call["usage_on_wire"] for call in calls),
        "model_calls_with_right_usage_in_a_span": sum(usage(call) for call in calls),
        **{f"{kind}_{suffix}": kept(kind) if suffix == "in_a_span" else sum(bool(call[kind]) for call in calls)
           for kind in ("cache_read", "cache_write", "reasoning") for suffix in ("in_a_span", "truth")},
        "response_ids_in_spans": sum(bool(call["response_id"]) and call["response_id"] in text for call in calls),
        "tool_call_ids_in_spans": sum(tool in text for tool in tools), "tool_call_ids_in_logs": sum(tool in logged for tool in tools),
        "tool_call_ids_truth": len(tools),
        "tool_spans": sum(is_tool(name, attributes) for name, attributes, _ in spans),
        "tool_logs": sum(is_tool(name, attributes) for name, attributes, _ in logs),
    }  # fmt: skip


def line_of(
    name: str, facts: dict[str, Any], truth: dict[str, Any], traces: list[Any], logs: list[Any]
) -> dict[str, Any]:
    """The line of ``truth.jsonl`` for one capture."""
    family, library, instrumentation, last = name.split("__")
    scenario, _, variant = last.partition(".")
    return {
        "file": f"{name}.otlp" if traces else f"{name}.logs.otlp", "logs": f"{name}.logs.otlp" if logs else None,
        "family": family, "library": library, "instrumentation": instrumentation, "scenario": scenario, "variant": variant or None,
        "library_version": facts.get("library_version"), "instrumentation_package": facts.get("instrumentation_package"),
        "instrumentation_version": facts.get("instrumentation_version"), "dialect": facts.get("dialect"), "captured": facts.get("captured", True),
        "content": facts.get("content", True), "stacked": facts.get("stacked", False), "app_parent_span": facts.get("app_parent_span", False),
        "truth": truth, "recoverable": recoverable_of(truth, items(traces), items(logs)), "notes": facts.get("notes", []),
    }  # fmt: skip


def write(folder: Path, name: str, traces: list[Any], logs: list[Any], line: dict[str, Any]) -> None:
    """Write a capture's files, and its line among those already in ``truth.jsonl``."""
    for ending, requests in ((".otlp", traces), (".logs.otlp", logs)):
        path = folder / f"{name}{ending}"
        data = [request if isinstance(request, bytes) else request.SerializeToString() for request in requests]
        if data:
            path.write_bytes(b"".join(len(body).to_bytes(4, "little") + body for body in data))
        elif path.exists():
            path.unlink()
    index = folder / "truth.jsonl"
    known = {each["file"]: each for each in map(json.loads, index.read_text().splitlines())} if index.exists() else {}
    known[line["file"]] = line
    index.write_text("".join(json.dumps(known[key], ensure_ascii=False) + "\n" for key in sorted(known)))


def leaks(requests: list[Any]) -> list[str]:
    """Words of this machine still in a payload."""
    words = [os.environ.get("HOME", "/root") + "/", "/tmp/", "/work/", "clew-capture"]
    text = b" ".join(request.SerializeToString() for request in requests)
    return [word for word in words if re.search(rb"(?<![\w.])" + re.escape(word.encode()), text)]


def main(raw: Path, folder: Path, wanted: list[str]) -> None:
    """Keep the captures of a raw folder."""
    latest = {line["name"]: line for line in map(json.loads, (raw / "raw.jsonl").read_text().splitlines())}
    for name, line in latest.items():
        if wanted and not any(word in name for word in wanted):
            continue
        scrubber, kept = Scrubber(line), {"traces": [], "logs": []}
        for signal in tuple(kept):
            if file := line["written"].get(signal):
                read = (
                    REQUESTS[signal].FromString
                    if not file.endswith(".json")
                    else lambda body, signal=signal: from_json(signal, body)
                )
                kept[signal] = [read(body) for body in bodies(raw / file)]
            for request in kept[signal]:
                scrubber.request(request)
        if left := leaks(kept["traces"] + kept["logs"]):
            sys.exit(f"{name}: {left} would be kept; teach the scrubber about it")
        truth = truth_of(line["served"], line["facts"])
        written = line_of(name, line["facts"], truth, kept["traces"], kept["logs"])
        write(folder, name, kept["traces"], kept["logs"], written)
        recovered = written["recoverable"]
        print(
            name, "calls", truth["model_calls"], "right", recovered["model_calls_with_right_usage_in_a_span"], "tools", truth["tool_calls"],
            "spans", recovered["tool_spans"], "logs", recovered["tool_logs"], "ids", recovered["tool_call_ids_in_spans"], recovered["tool_call_ids_in_logs"],
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
