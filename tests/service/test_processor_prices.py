"""Prices of one's own in a running processor: in force, changed while it runs, and after a crash."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING

from clew_processor.enrich.pricing import PriceBook
from shared.genai import chat
from shared.otlp import request
from shared.processor import processor

if TYPE_CHECKING:
    from pathlib import Path

    from shared.processor import Processor

SETTINGS = {"prices": {"file": "prices.yaml", "refresh_s": 0.1}}


def write(file: Path, amount: int) -> None:
    file.write_text(f"models: [{{provider: acme, model: house-1, prices: {{input: {amount}, output: {amount}}}}}]")


def call(server: Processor, number: int) -> tuple[Decimal, str, str]:
    """(cost, its source, its prices) of a call of a million tokens each way."""
    tokens = {"input": 1_000_000, "output": 1_000_000}
    made = chat(number, trace_id=number, provider="acme", model="house-1", tokens=tokens, start=time.time_ns())
    server.export(request(made))
    server.settled()
    ((row),) = server.rows(
        "SELECT CostUsd, CostSource, PricingVersion FROM otel_traces WHERE SpanId = {id:String}", id=f"{number:016x}"
    )
    return row


def until(server: Processor, cost: Decimal) -> int:
    """Calls until one costs so much; how many it took."""
    deadline = time.monotonic() + 30
    for number in range(1000, 2000):
        if call(server, number)[0] == cost:
            return number
        assert time.monotonic() < deadline, server.err
    raise AssertionError


def test_prices_change_while_it_runs_and_those_of_before_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    write(file, 1)
    with processor(tmp_path, settings=SETTINGS) as server:
        cost, source, version = call(server, 1)
        assert (cost, source) == (2, "computed")
        assert version.startswith(f"{PriceBook().version}, own ")
        write(file, 3)
        last = until(server, Decimal(6))
        assert call(server, 2)[2] != version
        before = server.value("SELECT count() FROM otel_traces WHERE CostUsd = 2")
        assert before == last - 999  # the first, and all until then
        totals = server.rows("SELECT sum(cost_usd), count() FROM runs")
        assert totals == [(server.value("SELECT sum(CostUsd) FROM otel_traces"), before + 2)]
        file.write_text("models: 5")
        deadline = time.monotonic() + 30
        while "stay in force" not in server.err:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert call(server, 3)[0] == 6


def test_a_model_that_nobody_lists_is_in_the_table_of_unpriced_models(tmp_path: Path) -> None:
    with processor(tmp_path) as server:
        assert call(server, 1)[1] == "unpriced"
        assert server.rows("SELECT provider, model, calls, input_tokens, output_tokens FROM unpriced_models") == [
            ("acme", "house-1", 1, 1_000_000, 1_000_000)
        ]
        told = {"clew.cost.usd": 0.5, "clew.cost.source": "gateway"}
        server.export(request(chat(2, trace_id=2, tokens={"input": 1_000_000}, attributes=told, start=time.time_ns())))
        server.settled()
        assert server.rows("SELECT * EXCEPT (day, tenant_id) FROM cost_differences") == [
            ("openai", "gpt-4o-mini", "gateway", 1, Decimal("0.5"), Decimal("0.15"), 0, Decimal("0.35"))
        ]
