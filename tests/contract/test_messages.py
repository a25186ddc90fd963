"""One conversation, recorded by instrumentations that write it each in its own way, is the same messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import clew_kernel
import pyarrow as pa
import pytest

from clew_processor.decode.plan import extraction_plan
from shared.kernel import KEY
from shared.payloads import PAYLOADS, bodies

if TYPE_CHECKING:
    from pathlib import Path

INFERENCE = {"chat", "generate_content"}
ROLES = ("user", "system", "user", "assistant", "tool")
"""By the kernel's numbers."""

CALL = '{"parts":[{"arguments":{"city":"%s"},"id":"ID","name":"get_weather","type":"tool_call"}],"role":"assistant"}'
ANSWER = '{"parts":[{"id":"ID","response":"%s","type":"tool_call_response"}],"role":"tool"}'
TEXT = '{"parts":[{"content":"%s","type":"text"}],"role":"%s"}'
CONVERSATION = [
    TEXT % ("You are a weather assistant. Be brief.", "system"),
    TEXT % ("What should I pack for Paris? Réponds vite 🙂", "user"),
    CALL % "Paris",
    ANSWER % "21C sunny",
    CALL % "Berlin",
    ANSWER % "12C rain",
    TEXT % ("It is 21°C and sunny — “pack light”, said the model. [LAST]", "assistant"),
]

# What the instrumentation leaves out of the messages it records.
LEFT_OUT = {"openlit": [2, 4]}
# Nothing is recorded there: other spans, or logs, have the messages.
WITHOUT = {"google_adk", "anthropic_sdk"}

FILES = sorted(
    path for path in PAYLOADS.glob("*__S4*.otlp") if not re.search(r"\.logs\.|nocontent|openai-agents__", path.name)
)


def neutral(form: bytes) -> str:
    """A canonical form without what differs from run to run: ids, and the mark at the end of the last answer."""
    text = re.sub(r'"(call|toolu)_[0-9a-f]+"', '"ID"', form.decode())
    return re.sub(r"\[[^\]\s]+__S4[^\]\s]*:2\]", "[LAST]", text)


def conversations(path: Path) -> dict[str, list[str]]:
    """By dialect, the messages of its last model call: instructions, input and output."""
    kernel = clew_kernel.Decoder(extraction_plan(content_refresh_s=86_400, max_span_bytes=1 << 24))
    decoded = kernel.decode(
        read := bodies(path), [KEY] * len(read), now_ns=1 << 60, min_time_ns=0, max_time_ns=(1 << 63) - 1
    )
    contents = {row["hash"]: row for row in pa.record_batch(decoded.contents).to_pylist()}
    spans = pa.record_batch(decoded.spans)
    names = ["dialect", "op", "Timestamp", "system_hash", "input_messages", "input_messages.roles", "output_messages"]
    found: dict[str, list[str]] = {}
    for row in sorted(spans.select(names).to_pylist(), key=lambda row: row["Timestamp"]):
        if row["op"] in INFERENCE:
            said = [(row["system_hash"], 1)] if any(row["system_hash"]) else []
            said += zip(row["input_messages"], row["input_messages.roles"], strict=True)
            said += [(name, 3) for name in row["output_messages"]]
            forms = [clew_kernel.canonical_message(contents[name]["content"], ROLES[role]) for name, role in said]
            for (name, _), form in zip(said, forms, strict=True):
                assert contents[name]["canonical_hash"] == clew_kernel.content_hash(KEY, form)
            found[row["dialect"]] = [neutral(form) for form in forms]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".otlp"))
def test_one_conversation_is_the_same_messages_in_every_dialect(path: Path):
    found = conversations(path)
    assert found
    for dialect, messages in found.items():
        left_out = LEFT_OUT.get(dialect, [])
        wanted = [message for place, message in enumerate(CONVERSATION) if place not in left_out]
        # Instructions may be told twice: among the messages and apart.
        once = messages[1:] if messages[:1] == messages[1:2] else messages
        assert once == ([] if dialect in WITHOUT else wanted), dialect
