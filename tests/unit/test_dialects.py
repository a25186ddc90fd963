"""What one span of each dialect becomes: fixtures in `dialects/`, a file a dialect, walked here.

A case tells a span (`scope`, `name`, `resource`, `attributes`, `events`, `status`, `duration_ms`) and what it has to
become:

- `dialect`, the file's name where nothing is said; `ignored`, a span of it that is a placeholder
- `is`: canonical columns; those of `SILENT` that it does not name have to be empty, the status unset
- `input_messages`, `output_messages` in the conventions' form, as which they have to be the same content
- `args_hash`, `result_hash`: the content's text, nothing for none
- `response_id`
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_processor.dialects import dialects
from shared.otlp import T0, key_values, messages_json, request, span
from shared.pipeline import normalise

if TYPE_CHECKING:
    from clew_processor.normalise.spans import Spans

FIXTURES = Path(__file__).parent / "dialects"
SILENT = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "reported_cost_usd",
    "tool_name",
    "gate_name",
    "gate_outcome",
    "error_type",
)
STATUS = {"": Status.STATUS_CODE_UNSET, "ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR}


class _Loader(yaml.SafeLoader):
    """YAML with values as senders encode them: `!json` (as JSON text) and `!bytes`."""


def _json(loader: _Loader, node: yaml.Node) -> str:
    is_list = isinstance(node, yaml.SequenceNode)
    return json.dumps((loader.construct_sequence if is_list else loader.construct_mapping)(node, deep=True))


_Loader.add_constructor("!json", _json)
_Loader.add_constructor("!bytes", lambda loader, node: loader.construct_scalar(node).encode())


def cases() -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}: {case['what']}")
        for path in sorted(FIXTURES.glob("*.yaml"))
        for case in yaml.load(path.read_text("utf-8"), _Loader)
    ]


def normalised(case: dict[str, Any]) -> Spans:
    events = [
        Span.Event(name=event["name"], time_unix_nano=T0, attributes=key_values(event["attributes"]))
        for event in case.get("events", [])
    ]
    one = span(
        case["name"],
        case.get("attributes", {}),
        status=STATUS[case.get("status", "")],
        end=T0 + round(case.get("duration_ms", 1) * 1e6),
        events=events,
    )
    return normalise(request(one, scope=case.get("scope", "test.scope"), resource=case.get("resource")))


def conventional(attribute: str, value: object) -> Spans:
    """A model's call by the newest conventions that says nothing but this."""
    return normalise(request(span("chat", {"gen_ai.provider.name": "openai", attribute: value})))


def value(spans: Spans, column: str) -> Any:
    """The first span's; numbers to six digits, so that 32 bits are enough."""
    values = getattr(spans, column)
    found = (values.tolist if hasattr(values, "tolist") else values.to_pylist)()[0]
    return _rounded(found)


def _rounded(found: object) -> object:
    return float(f"{found:.6g}") if isinstance(found, float) else found


def is_empty(found: object) -> bool:
    return found in ("", 0) or (isinstance(found, float) and math.isnan(found))


def contents(spans: Spans, column: str, member: str) -> list[Any]:
    """One member of each content that the first span's column refers to."""
    by_hash = {row[key]: row[member] for row in spans.contents.to_pylist() for key in ("canonical_hash", "hash")}
    referred = spans.otlp.column(column).to_pylist()[0] or []
    return [by_hash[each] for each in (referred if isinstance(referred, list) else [referred]) if any(each)]


@pytest.mark.parametrize(("dialect", "case"), cases())
def test_a_span_becomes_what_its_fixture_says(dialect, case):
    spans = normalised(case)

    dialect = case.get("dialect", dialect)
    assert (value(spans, "dialect"), value(spans, "known")) == (dialect, bool(dialect) and not case.get("ignored"))
    wanted = {"status": "error" if case["is"].get("error_type") else "unset"} | case["is"]
    assert {column: value(spans, column) for column in wanted} == {key: _rounded(told) for key, told in wanted.items()}
    assert [column for column in SILENT if column not in wanted and not is_empty(value(spans, column))] == []
    for column in {"input_messages", "output_messages"} & case.keys():
        told = conventional(f"gen_ai.{column.replace('_', '.')}", messages_json(*case[column]))
        same = contents(told, column, "canonical_hash")
        assert len(same) == len(case[column])
        assert contents(spans, column, "canonical_hash") == same, contents(spans, column, "content")
    for column in {"args_hash", "result_hash"} & case.keys():
        texts = [bytes(text).decode() for text in contents(spans, column, "content")]
        assert texts == ([] if case[column] is None else [case[column]])
    if "response_id" in case:
        told = conventional("gen_ai.response.id", case["response_id"])
        assert value(spans, "response_id") == value(told, "response_id")


def test_every_dialect_has_a_fixture():
    assert {path.stem for path in FIXTURES.glob("*.yaml")} == {dialect.name for dialect in dialects()}
