"""Keys that senders, or who writes to them, make up: what they cost is in proportion to what was sent."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from clew_processor.decode.plan import extraction_plan
from shared.otlp import request, span
from shared.pipeline import decode, new_decoder

if TYPE_CHECKING:
    from pathlib import Path

KEYS = 100_000

#: Decodes the request of a file by the plan of another, and prints what that added to the peak of memory, in bytes. It
#: imports nothing else, whose own peak would hide that.
PROGRAM = """
import sys
import clew_kernel

def peak():
    # What getrusage says is never less than what the parent had.
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

plan, body = (open(name, "rb").read() for name in sys.argv[1:])
decoder = clew_kernel.Decoder(plan.decode())
before = peak()
decoded = decoder.decode([body], [bytes(16)], now_ns=1, min_time_ns=0, max_time_ns=2**62)
assert len(decoded.spans) == 1
print(peak() - before)
"""


@pytest.mark.parametrize(
    "path",
    [
        "llm.input_messages.{n}.message.role",
        "llm.input_messages.0.message.contents.{n}.message_content.text",
        "llm.input_messages.999999999{n}.message.role",
        "gen_ai.unknown.{n}",
        "llm.input_messages.1.a.b.c.d.e.f.g.h.i.j.{n}",
        "llm.input_messages.1.{n}.x.{n}.y.{n}.z.{n}",
    ],
)
def test_a_hundred_thousand_keys_of_one_span_take_memory_in_proportion(path: str, tmp_path: Path):
    found = {path.format(n=n): "user" for n in range(KEYS)} | {"openinference.span.kind": "LLM"}
    body = tmp_path / "body"
    body.write_bytes(request(span(attributes=found)).SerializeToString())
    plan = tmp_path / "plan"
    plan.write_text(extraction_plan(content_refresh_s=1, max_span_bytes=1 << 24))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(plan), str(body)], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    size, grown = body.stat().st_size, int(done.stdout)
    assert size < grown < 12 * size, f"{grown / size:.1f} times the request"


def test_numbers_that_are_none_or_too_large_stay_attributes():
    found = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.999999999.message.role": "user",
        "llm.input_messages.-1.message.role": "user",
        "llm.input_messages.__proto__.message.role": "user",
        "llm.input_messages.18446744073709551617.message.role": "user",
        "llm.input_messages.2.message.role": "user",
    }
    batch = decode(request(span(attributes=found)))
    assert [row["content"] for row in batch.contents.to_pylist()] == [b'{"message":{"role":"user"}}']
    kept = dict(batch.spans.column("SpanAttributes").to_pylist()[0])
    assert kept.keys() == found.keys() - {"llm.input_messages.2.message.role"}


def test_a_thousand_messages_are_taken_of_one_span():
    found = {f"llm.input_messages.{n}.message.content": str(n) for n in range(1200)} | {
        "openinference.span.kind": "LLM"
    }
    batch = decode(request(span(attributes=found)))
    assert len(batch.spans.column("input_messages").to_pylist()[0]) == 1000
    assert len(batch.spans.column("SpanAttributes").to_pylist()[0]) == 201


def test_spans_with_keys_in_hundreds_of_orders_are_read_like_each_alone():
    rng = random.Random(1)
    keys = ["gen_ai.operation.name", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.tool.call.arguments"]
    keys += ["openinference.span.kind", "llm.input_messages.0.message.role", "error.type", "clew.pending"]
    values = ["", None, "chat", "execute_tool", "LLM", "7", 7, True, '{"a":1}', ["x"]]
    spans = []
    for number in range(400):
        own = [*rng.choices(keys, k=rng.randrange(8)), *(f"more.{rng.randrange(30)}" for _ in range(3))]
        rng.shuffle(own)
        spans.append(span(attributes=[(key, rng.choice(values)) for key in own], span_id=number + 1))
    decoder = new_decoder()
    together = decode(request(*spans))
    single = [decode(request(one), decoder=decoder) for one in spans]
    apart = pa.Table.from_batches([batch.spans.drop_columns(["request", "parent_row"]) for batch in single])
    for name in apart.column_names:
        assert together.spans.column(name).to_pylist() == apart.column(name).to_pylist(), name
    assert sorted(together.contents.column("content").to_pylist()) == sorted(
        content for batch in single for content in batch.contents.column("content").to_pylist()
    )
