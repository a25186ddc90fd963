"""What a span means does not depend on the order of its attributes, nor on what comes with it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from clew_processor.dialects import dialects
from clew_processor.normalise.spans import Spans
from clew_processor.words import Words
from shared.otlp import request, span
from shared.pipeline import new_decoder, normalise

if TYPE_CHECKING:
    from clew_processor.dialects.schema import Op, Source, Test

#: Of the batch as a whole, or by the place in it.
NOT_OF_A_SPAN = {"arrival_ns", "contents", "request_tenants", "run", "run_keys", "parent_row"}
VALUES = [
    "chat",
    "LLM",
    "tool",
    "",
    "7",
    7,
    0,
    0.5,
    True,
    "2026-01-02T03:04:06Z",
    '{"input": 3, "role": "user"}',
    "x.y",
]


def _asked(test: Test) -> list[tuple[str, list[str]]]:
    """Keys and values that a test is about."""
    found = [(test.attribute, [*(test.is_ or []), *(test.starts or [])])] if test.attribute else []
    found += [(prefix + "x", []) for prefix in test.attribute_prefix or ()]
    for inner in (test.all_, test.any_, test.none):
        found += [each for one in inner or () for each in _asked(one)]
    return found


def _keys(source: Source | Op) -> list[str]:
    if source.key is None or getattr(source, "event", None):
        return [*(getattr(source, "parts", None) or {}).values()]
    if getattr(source, "form", None) == "indexed":
        return [f"{source.key}.{n}.{name}" for n in (0, 1, 10) for name in ("role", "content", "message.content")]
    return [source.key]


def _known() -> dict[str, list[Any]]:
    """All attribute keys that mean something to some dialect, and values that do."""
    known: dict[str, list[Any]] = {"http.route": ["/"]}
    for table in dialects():
        for key, values in (each for test in (*table.detect, *table.ignore) for each in _asked(test)):
            known.setdefault(key, []).extend(values)
        for op in table.op:
            for key in _keys(op):
                known.setdefault(key, []).extend(op.values)
        for sources in (*table.columns.values(), *table.contents.values()):
            for key in (key for source in sources for key in _keys(source)):
                known.setdefault(key, [])
    return {key: [*dict.fromkeys(values), *VALUES] for key, values in known.items()}


KNOWN = _known()
SCOPES = [
    "",
    "test",
    *{text for table in dialects() for test in table.detect for text in test.scope or test.scope_prefix or ()},
]
attributes = st.lists(st.sampled_from(sorted(KNOWN)), min_size=1, max_size=12, unique=True).flatmap(
    lambda keys: st.tuples(*(st.tuples(st.just(key), st.sampled_from(KNOWN[key])) for key in keys))
)
names = st.sampled_from(["op", "chat gpt", "execute_tool x", "agent run", "haystack.pipeline.run", "invoke_agent y"])


def rows(spans: Spans) -> list[dict[str, Any]]:
    """A batch span by span."""
    columns: dict[str, list[Any]] = {}
    for field in fields(Spans):
        column = getattr(spans, field.name)
        if field.name in NOT_OF_A_SPAN:
            continue
        if isinstance(column, Words | np.ndarray):
            columns[field.name] = [repr(value) for value in column.tolist()]  # nan is nan
        elif isinstance(column, pa.RecordBatch):
            for name in set(column.schema.names) - {"request", "parent_row", "SpanAttributes"}:
                columns[f"otlp.{name}"] = column.column(name).to_pylist()
            columns["attributes"] = [dict(each) for each in column.column("SpanAttributes").to_pylist()]
        else:
            columns[field.name] = column.to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@settings(deadline=None, max_examples=50)
@given(found=attributes, name=names, scope=st.sampled_from(SCOPES), chance=st.randoms())
def test_the_order_of_attributes_means_nothing(found, name, scope, chance):
    shuffled = chance.sample(found, len(found))
    one, other = (rows(normalise(request(span(name, each), scope=scope))) for each in (found, shuffled))
    assert one == other


@settings(deadline=None, max_examples=50)
@given(drawn=st.lists(st.tuples(attributes, names, st.sampled_from(SCOPES)), min_size=2, max_size=8))
def test_a_span_means_the_same_alone_and_among_others(drawn):
    requests = [
        request(span(name, found, span_id=number, trace_id=number), scope=scope)
        for number, (found, name, scope) in enumerate(drawn, 1)
    ]
    alone = [row for each in requests for row in rows(normalise(each))]
    assert rows(normalise(*requests)) == alone
    decoder = new_decoder()
    half = len(requests) // 2
    again = [row for part in (requests[:half], requests[half:]) for row in rows(normalise(*part, decoder=decoder))]
    assert again == alone
