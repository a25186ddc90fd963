"""What one span of each dialect becomes: fixtures in `dialects/`, a file a dialect, walked here.

A case tells a span (`scope`, `name`, `resource`, `attributes`, `events`, `status`, `duration_ms`) and what it has to
become: `dialect` (the file's name where nothing is said), `ignored`, `is` (canonical columns), messages by their canonical form,
`args_hash` and `result_hash` by their text (nothing: none), `response_id`. Columns of `SILENT` have to be empty where a case is silent.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_processor.dialects import dialects
from shared.otlp import T0, key_values, messages_json, request, span
from shared.pipeline import normalise

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
    """YAML with values that senders encode: `!json` (JSON text) and `!bytes`."""


def _json(loader: _Loader, node: yaml.Node) -> str:
    plain = yaml.SafeLoader.construct_sequence if isinstance(node, yaml.SequenceNode) else None
    value = plain(loader, node, deep=True) if plain else loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return json.dumps(value)


_Loader.add_constructor("!json", _json)
_Loader.add_constructor("!bytes", lambda loader, node: loader.construct_scalar(node).encode())


def cases() -> list[Any]:
    found = []
    for path in sorted(FIXTURES.glob("*.yaml")):
        for case in yaml.load(path.read_text("utf-8"), _Loader):  # noqa: S506 - a safe loader with two more tags
            found.append(pytest.param(path.stem, case, id=f"{path.stem}: {case['what']}"))
    return found


def body(case: dict[str, Any]):
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
    return request(one, scope=case.get("scope", "test.scope"), resource=case.get("resource"))


def value(spans, column: str):
    found = getattr(spans, column).tolist() if hasattr(getattr(spans, column), "tolist") else None
    return getattr(spans, column).to_pylist()[0] if found is None else found[0]


def _near(told):
    """Numbers as far as they survive a float of 32 bits."""
    return float(f"{told:.6g}") if isinstance(told, float) else told


def is_empty(found) -> bool:
    return found in ("", 0) or (isinstance(found, float) and math.isnan(found))


def hashes(spans, column: str, name: str) -> list[Any]:
    """One member of each content that the first span's column refers to."""
    rows = {row[key]: row[name] for row in spans.contents.to_pylist() for key in ("canonical_hash", "hash")}
    referred = spans.otlp.column(column).to_pylist()[0] or []
    return [rows[each] for each in (referred if isinstance(referred, list) else [referred]) if any(each)]


@pytest.mark.parametrize(("dialect", "case"), cases())
def test_a_span_becomes_what_its_fixture_says(dialect, case):
    spans = normalise(body(case))

    assert value(spans, "dialect") == case.get("dialect", dialect)
    assert value(spans, "known") == (case.get("dialect", dialect) != "" and not case.get("ignored", False))
    wanted = {"status": "error" if case["is"].get("error_type") else "unset"} | case["is"]
    found = {column: value(spans, column) for column in wanted}
    assert {column: _near(told) for column, told in found.items()} == {
        column: _near(told) for column, told in wanted.items()
    }
    assert [column for column in SILENT if column not in wanted and not is_empty(value(spans, column))] == []
    for column in ("input_messages", "output_messages"):
        if column in case:
            attribute = f"gen_ai.{column.replace('_', '.')}"
            told = {"gen_ai.provider.name": "openai", attribute: messages_json(*case[column])}
            as_told = normalise(request(span("chat", told)))
            wanted = hashes(as_told, column, "canonical_hash")
            assert len(wanted) == len(case[column])
            assert hashes(spans, column, "canonical_hash") == wanted, hashes(spans, column, "content")
    if "response_id" in case:
        told = {"gen_ai.provider.name": "openai", "gen_ai.response.id": case["response_id"]}
        assert value(spans, "response_id") == value(normalise(request(span("chat", told))), "response_id")
    for column in ("args_hash", "result_hash"):
        if column in case:
            wanted = [] if case[column] is None else [case[column]]
            assert [
                text.decode() if isinstance(text, bytes) else text for text in hashes(spans, column, "content")
            ] == wanted


def test_every_dialect_has_a_fixture():
    assert {path.stem for path in FIXTURES.glob("*.yaml")} == {dialect.name for dialect in dialects()}


def test_what_dialects_look_for_is_never_the_same():
    """Each has its own place in the order, so that which comes first is told by the tables."""
    orders = [dialect.order for dialect in dialects()]
    assert len(set(orders)) == len(orders)
