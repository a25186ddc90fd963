"""`clew doctor --dialects` against a real processor: which dialects came, and what is of none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shared.cli import Clew
from shared.genai import chat
from shared.otlp import request, span
from shared.processor import processor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clew(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Clew:
    return Clew(monkeypatch, capfd)


def test_what_looks_like_genai_but_is_of_no_dialect_is_counted_by_what_it_carries(clew: Clew, tmp_path: Path):
    odd = [
        span("call", span_id=number, attributes={"llm.vendor.tokens": 12, f"llm.turns.{number}.text": "x"})
        for number in (3, 4, 5)
    ]
    with processor(tmp_path) as running:
        address = ("--query", running.query)
        assert "No GenAI spans yet" in clew("doctor", "--dialects", *address).out
        running.export(request(chat(1, tokens={"input": 1}), span("GET /", span_id=2), *odd))
        running.settled()
        found = json.loads(clew("doctor", "--dialects", "--json", *address).out)
        text = clew("doctor", "--dialects", *address)
        checks = json.loads(clew("doctor", "--json", *address, "--endpoint", f"http://{running.grpc}").out)["checks"]
    assert [(row["dialect"], row["spans"]) for row in found] == [("otel_genai", 1), ("", 3)]
    assert found[1]["signature"].endswith(": llm.turns.N.text llm.vendor.tokens")
    assert text.code == 0
    assert "3 spans look like GenAI but match no known dialect" in text.out
    assert "llm.turns.N.text llm.vendor.tokens" in text.out
    (check,) = (check for check in checks if check["name"] == "dialects")
    assert (check["verdict"], check["found"].split()[0]) == ("hint", "3")
