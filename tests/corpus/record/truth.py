"""The truth line of a file: what the server's ledger says, and how much of it the file holds at all."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from clew.demo.script import Tokens
from corpus.scenarios import HANDOVER, cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

KINDS = ("input_tokens_total", "output_tokens_total", "cache_read", "cache_write", "reasoning")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_TRANSFERS = re.compile(r"transfer|hand_?off", re.IGNORECASE)
#: Status code of an error.
_ERROR = 2
_NAMES_MODEL = re.compile(r"gpt-4o-mini|o4-mini|claude-sonnet|gemini-2.5|mistral-small")
#: Whatever an application hands around; a usage object may be in it, and is nobody's statement about a call.
_CONTENT_KEYS = {"message", *(f"{a}.{b}" for a in ("traceloop.entity", "gen_ai.task") for b in ("input", "output"))}
#: Python's repr of Haystack's messages, as text inside JSON.
_REPR = "ChatMessage(_role="
_KIND_KEYS = {
    "openinference.span.kind", "gen_ai.operation.name", "traceloop.span.kind", "langfuse.observation.type",
    "langsmith.span.kind", "mlflow.spanType", "agentops.span.kind", "lmnr.span.type",
}  # fmt: skip
_TOOL_KINDS = {"tool", "execute_tool"}
_TOOL_NAMES = {"running tool", "function_tool", "haystack.agent.step.tool"}


def served(ledger: Sequence[dict[str, Any]], *, scenario: str, runs: int) -> dict[str, Any]:
    """What the server did, in the words of the README."""
    embedded = [line for line in ledger if line["api"].endswith("embeddings")]
    asked = [line for line in ledger if not line["api"].endswith("embeddings")]
    good = [line for line in asked if line["status"] == 200]
    calls = [_call(line) for line in good]
    tools = [tool | {"handoff": _hands_over(tool)} for line in good for tool in line["tools"]]
    executed = [tool for tool in tools if not tool["handoff"] and tool["name"] != "final_answer"]
    handed = [tool for tool in tools if tool["handoff"]]
    reached = [line for line in asked if line["status"] >= 500]
    # The client library's own retries of a failing call are one call of the program.
    failed = 1 if reached else 0
    return {
        "model_calls": len(calls) + failed,
        "model_calls_failed": failed,
        "http_requests": len(asked) + len(embedded),
        "http_errors": sum(line["status"] != 200 for line in asked),
        "tool_calls": len(executed),
        "handoffs": len(handed),
        "final_answer_calls": sum(tool["name"] == "final_answer" for tool in tools),
        "embeddings": len(embedded),
        "retrievals": 1 if scenario == "S11" else 0,
        "runs": runs,
        "tools": [_tool(tool) for tool in executed],
        "handoff_calls": [_tool(tool) for tool in handed],
        "per_call": calls,
        "per_embedding": [_call(line) for line in embedded],
        "totals": totals(calls),
        "totals_on_wire": totals([call for call in calls if call["usage_on_wire"]]),
    }


def _hands_over(tool: dict[str, Any]) -> bool:
    """A transfer of control; an agent that is called like a tool is a tool."""
    return tool["name"] == HANDOVER or bool(_TRANSFERS.search(tool["name"]))


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {name: tool[name] for name in ("name", "args", "id")}


def _call(line: dict[str, Any]) -> dict[str, Any]:
    tokens = Tokens(*(line.get(kind, 0) for kind in KINDS))
    price = cost(line["model_requested"], tokens)
    named = ("model", "model_requested", "api", "response_id", "stream", "usage_on_wire", *KINDS, "finish")
    return {name: line[name] for name in named if name in line} | {"cost_usd_at_list": decimal(price)}


def priced(truth: dict[str, Any]) -> dict[str, Any]:
    """The same truth at the prices of now."""
    calls, embedded = ([_call(line) for line in truth[name]] for name in ("per_call", "per_embedding"))
    sent = [call for call in calls if call["usage_on_wire"]]
    return truth | {
        "per_call": calls, "per_embedding": embedded, "totals": totals(calls), "totals_on_wire": totals(sent)
    }  # fmt: skip


def decimal(value: Decimal | None) -> str | None:
    """Decimal text without an exponent or trailing zeros."""
    if value is None:
        return None
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return text or "0"


def totals(calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sums of tokens by kind, and of the cost."""
    sums: dict[str, Any] = {kind: sum(call.get(kind, 0) for call in calls) for kind in KINDS}
    costs = [call["cost_usd_at_list"] for call in calls]
    sums["cost_usd_at_list"] = None if None in costs else decimal(sum(map(Decimal, costs), Decimal(0)))
    return sums


def recoverable(truth: dict[str, Any], spans: Iterable[Any], logs: Iterable[Any]) -> dict[str, Any]:
    """What of the truth stands somewhere in the file: it looks for numbers and ids and knows no dialect."""
    span_facts = [_facts(span) for span in spans]
    log_facts = [_facts(record) for record in logs]
    numbers = [found for found, _ in span_facts or log_facts]
    calls = [call for call in truth["per_call"] if call["usage_on_wire"]]
    embedded = truth["per_embedding"]
    ids = {tool["id"] for tool in truth["tools"]} - {""}
    counts = {kind: [call for call in calls if call[kind]] for kind in KINDS[2:]}
    texts = "\n".join(text for _, text in span_facts)
    log_texts = "\n".join(text for _, text in log_facts)
    answers = [call["response_id"] for call in truth["per_call"]]
    return {
        "model_calls_with_usage_on_wire": len(calls),
        "model_calls_with_right_usage_in_a_span": _matched([_holding(call, numbers) for call in calls]),
        **{
            f"{kind}_in_a_span": _matched([_holding(call, numbers, str(call[kind])) for call in having])
            for kind, having in counts.items()
        },
        **{f"{kind}_truth": len(having) for kind, having in counts.items()},
        "failed_call_in_a_span": any(
            span.status.code == _ERROR and _NAMES_MODEL.search(text)
            for span, (_, text) in zip(spans, span_facts, strict=True)
        ),
        "embeddings_with_right_usage_in_a_span": sum(
            any(str(call["input_tokens_total"]) in found for found in numbers) for call in embedded
        ),
        "response_ids_in_spans": sum(answer in texts for answer in answers),
        "tool_call_ids_in_spans": sum(call in texts for call in ids),
        "tool_call_ids_in_logs": sum(call in log_texts for call in ids),
        "tool_call_ids_truth": len(ids),
        "tool_spans": sum(_is_tool(span) for span in spans),
    }


def _holding(call: dict[str, Any], numbers: Sequence[set[str]], also: str | None = None) -> list[int]:
    """Which spans or logs hold the counts of a call, of whatever meaning its provider gives them."""
    whole, out = call["input_tokens_total"], call["output_tokens_total"]
    ins = {str(whole), str(whole - call["cache_read"] - call["cache_write"])}
    outs = {str(out), str(out - call["reasoning"])}
    return [at for at, found in enumerate(numbers) if found & ins and found & outs and (also is None or also in found)]


def _matched(choices: Sequence[Sequence[int]]) -> int:
    """How many calls can have a span of their own: one that repeats several calls is not several spans."""
    taken: dict[int, int] = {}

    def place(call: int, tried: set[int]) -> bool:
        for at in choices[call]:
            if at not in tried:
                tried.add(at)
                if at not in taken or place(taken[at], tried):
                    taken[at] = call
                    return True
        return False

    return sum(place(call, set()) for call in range(len(choices)))


def _facts(thing: Message) -> tuple[set[str], str]:
    """(every whole number in the attributes, all of it as text)."""
    texts: list[str] = []
    _collect(thing, texts)
    whole = "\n".join(texts)
    return set(_NUMBER.findall(whole)), whole


def _collect(thing: Any, into: list[str]) -> None:
    if getattr(thing, "key", "") in _CONTENT_KEYS:
        return
    for field, value in thing.ListFields():
        if field.name.endswith(("_unix_nano", "_id")) or field.name in ("flags", "kind", "severity_number"):
            continue
        if isinstance(value, (str, int, float)):
            into.append(str(value) if _REPR not in str(value) else "")
        elif hasattr(value, "ListFields"):
            _collect(value, into)
        elif not isinstance(value, bytes):
            for item in value:
                if hasattr(item, "ListFields"):
                    _collect(item, into)
                else:
                    into.append(str(item))


def _is_tool(span: Any) -> bool:
    said = {pair.value.string_value.strip('"').lower() for pair in span.attributes if pair.key in _KIND_KEYS}
    return bool(said & _TOOL_KINDS) or span.name in _TOOL_NAMES or span.name.startswith("execute_tool ")
