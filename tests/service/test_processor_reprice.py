"""A price that comes later: stored costs are others, in every table, exactly once."""

from __future__ import annotations

import json
import signal
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from urllib3.exceptions import HTTPError

from shared.cli import Clew
from shared.failpoints import program
from shared.genai import agent, chat, tool
from shared.otlp import request
from shared.processor import processor

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from shared.processor import Processor

HOUR, DAY = 3600, 86_400
SETTINGS: dict[str, Any] = {"prices": {"file": "prices.yaml", "refresh_s": 3600}, "usage": {"settle_s": 1}}
NOTHING = {
    "changed": [],
    "unpriced": [],
    "unchanged_calls": 0,
    "unsettled_calls": 0,
    "sampled_out_calls": 0,
    "unsure": [],
}


#: Minutes whose total is not that of the spans that ended in them.
DIFFERING_MINUTES = """
SELECT count()
FROM (SELECT minute, sum(cost_usd) AS usd FROM usage_1m GROUP BY minute HAVING usd != 0) AS total
FULL JOIN
(
    SELECT toStartOfMinute(toDateTime(Timestamp + toIntervalNanosecond(Duration))) AS minute, sum(CostUsd) AS usd
    FROM otel_traces_full GROUP BY minute HAVING usd != 0
) AS span ON total.minute = span.minute
WHERE total.usd != span.usd
"""


def write(directory: Path, **prices: float | str) -> None:
    """Prices by model, for input and output alike."""
    models = [
        {"provider": "acme", "model": name.replace("_", "-"), "prices": {"input": price, "output": price}}
        for name, price in prices.items()
    ]
    (directory / "prices.yaml").write_text(json.dumps({"models": models}))


def call(number: int, model: str = "house-1", *, run: int = 1, tokens: int = 1_000_000, hours: float = 2) -> Span:
    start = time.time_ns() - int(hours * HOUR) * 10**9
    used = {"input": tokens, "output": tokens}
    return chat(number, trace_id=run, provider="acme", model=model, tokens=used, start=start)


def reprice(server: Processor, **order: Any) -> dict[str, Any]:
    answer = server.ask(
        "POST",
        "/v1/reprice",
        json.dumps({"since_s": DAY} | order).encode(),
        {"Content-Type": "application/json"},
    )
    assert answer.status == 200, answer.data
    told: dict[str, Any] = json.loads(answer.data)
    return told


def changes(told: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key not in ("pricing_version", "dry_run", "stored")}


def changed(server: Processor, **order: Any) -> dict[str, tuple[int, str, str]]:
    """(calls, cost before, cost after) by model."""
    told = reprice(server, **order)
    return {one["model"]: (one["calls"], one["before_usd"], one["after_usd"]) for one in told["changed"]}


def send(server: Processor, *spans: Span) -> None:
    """Stored, and no longer open to correction: time goes on with what comes."""
    server.export(request(*spans))
    server.settled()
    time.sleep(1.1)
    server.export(request(tool(999, trace_id=999, start=time.time_ns())))
    server.settled()


def totals(server: Processor) -> dict[str, list[tuple[Any, ...]]]:
    """What each table says, by model or run."""
    return {
        "usage_1m": server.rows(
            "SELECT model, sum(calls), sum(cost_usd), sum(unpriced_calls), sum(input_tokens) FROM usage_1m "
            "WHERE model != '' GROUP BY model ORDER BY model"
        ),
        "runs": server.rows(
            "SELECT toUInt64(trace_id) AS run, cost_usd, unpriced_calls, model_calls FROM runs "
            "WHERE model_calls > 0 ORDER BY run"
        ),
        "otel_traces_full": server.rows(
            "SELECT RequestModel, sum(CostUsd), countIf(CostSource = 'unpriced'), sum(ComputedCostUsd) "
            "FROM otel_traces_full WHERE RequestModel != '' GROUP BY RequestModel ORDER BY RequestModel"
        ),
    }


def test_a_price_that_came_later_is_in_every_table_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, house_1=1)
    with processor(tmp_path, settings=SETTINGS) as server:
        send(
            server,
            agent(1, trace_id=1, start=time.time_ns()),
            call(2),
            call(3, "house-2"),
            call(4, "house-2", run=2, hours=5),
            call(5, "house-3", run=2),
        )
        unpriced = "SELECT model, calls FROM unpriced_models ORDER BY model"
        assert server.rows(unpriced) == [("house-2", 2), ("house-3", 1)]
        write(tmp_path, house_1=1, house_2=3)
        assert changed(server, dry_run=True) == {"house-2": (2, "0.000000000", "12.000000000")}
        assert totals(server)["usage_1m"][1] == ("house-2", 2, 0, 2, 2_000_000)
        told = reprice(server)
        assert changes(told) == NOTHING | {
            "changed": [
                {
                    "provider": "acme",
                    "model": "house-2",
                    "calls": 2,
                    "before_usd": "0.000000000",
                    "after_usd": "12.000000000",
                }
            ],
            "unpriced": [{"provider": "acme", "model": "house-3", "calls": 1}],
            "unchanged_calls": 1,
        }
        assert changes(reprice(server)) == NOTHING | {
            "unpriced": [{"provider": "acme", "model": "house-3", "calls": 1}],
            "unchanged_calls": 1,
        }
        after = {
            "usage_1m": [
                ("house-1", 1, 2, 0, 1_000_000),
                ("house-2", 2, 12, 0, 2_000_000),
                ("house-3", 1, 0, 1, 1_000_000),
            ],
            "runs": [(1, 8, 0, 2), (2, 6, 1, 2)],
            "otel_traces_full": [("house-1", 2, 0, 2), ("house-2", 12, 0, 12), ("house-3", 0, 1, 0)],
        }
        assert totals(server) == after
        assert server.rows(unpriced) == [("house-3", 1)]
        assert server.rows(
            "SELECT reason, usage_scope, cost_usd, computed_cost_usd, cost_source, count(), uniq(pricing_version) "
            "FROM span_corrections FINAL GROUP BY ALL"
        ) == [("repriced", "own", 6, 6, "computed", 2, 1)]
        version = server.value("SELECT any(PricingVersion) FROM otel_traces_full WHERE RequestModel = 'house-2'")
        assert version == told["pricing_version"]
        assert server.value(DIFFERING_MINUTES) == 0
        write(tmp_path, house_1=1.5, house_2=3)
        assert changed(server) == {"house-1": (1, "2.000000000", "3.000000000")}
        assert totals(server)["runs"] == [(1, 9, 0, 2), (2, 6, 1, 2)]
        assert server.stop() == 0
    with processor(tmp_path, settings=SETTINGS) as server:
        assert changed(server) == {}
        assert totals(server)["runs"] == [(1, 9, 0, 2), (2, 6, 1, 2)]


def test_only_what_was_asked_for_is_priced_again(tmp_path: Path) -> None:
    write(tmp_path, other=1)
    with processor(tmp_path, settings=SETTINGS) as server:
        send(server, call(1), call(2, hours=30), call(3, "house-2"))
        write(tmp_path, house_1=1, house_2=2)
        assert changed(server, model="house-1") == {"house-1": (1, "0.000000000", "2.000000000")}
        assert changed(server) == {"house-2": (1, "0.000000000", "4.000000000")}
        assert changed(server, since_s=3 * DAY) == {"house-1": (1, "0.000000000", "2.000000000")}
        assert totals(server)["usage_1m"] == [("house-1", 2, 4, 0, 2_000_000), ("house-2", 1, 4, 0, 1_000_000)]


def test_reported_costs_and_copies_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, other=1)
    with processor(tmp_path, settings=SETTINGS) as server:
        told, start = {"clew.cost.usd": 7.0, "clew.cost.source": "computed"}, time.time_ns() - HOUR * 10**9
        reported = chat(1, provider="acme", model="house-1", tokens={"input": 1}, attributes=told, start=start)
        common: dict[str, Any] = {"trace_id": 2, "provider": "acme", "model": "house-1", "response": "r"}
        copies = [chat(n, tokens={"input": 10**6}, start=start, **common) for n in (2, 3)]
        send(server, reported, *copies)
        write(tmp_path, house_1=1)
        assert changed(server) == {"house-1": (1, "0.000000000", "1.000000000")}
        assert totals(server)["runs"] == [(1, 7, 0, 1), (2, 1, 0, 1)]


def test_the_command_tells_what_changes_and_what_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, other=1)
    with processor(tmp_path, settings=SETTINGS) as server:
        clew = Clew(monkeypatch, capfd, server.query)
        monkeypatch.setenv("CLEW_HTTP", server.http)
        send(server, call(1), call(2), call(3, "house-2"))
        unpriced = next(line for line in clew("doctor").out.splitlines() if "without a price" in line)
        assert unpriced == "! calls of models without a price: acme/house-1 (2), acme/house-2 (1)"
        write(tmp_path, house_1=1.25)
        table = (
            "MODEL         CALLS     BEFORE      AFTER  DIFFERENCE\n"
            "acme/house-1      2  $0.000000  $5.000000      +$5.00\n"
        )
        rest = "still without a price: acme/house-2 (1): say what they cost in prices.file\n"
        dry = clew("reprice", "--dry-run")
        assert (dry.code, dry.out) == (0, f"{table}2 calls would have another cost: +$5.00\n{rest}")
        assert clew("reprice").out == f"{table}2 calls have another cost: +$5.00\n{rest}"
        assert clew("reprice", "--since", "7d").out == f"No cost is another by the prices in force.\n{rest}"
        told = json.loads(clew("reprice", "--model", "house-2", "--json").out)
        assert (told["changed"], told["unpriced"]) == ([], [{"provider": "acme", "model": "house-2", "calls": 1}])
        assert clew("reprice", "--since", "soon").code == 2
    gone = clew("reprice")
    assert gone.code == 1
    assert "no clew processor answers" in gone.err


def test_a_kill_in_the_midst_of_it_changes_each_cost_once(tmp_path: Path) -> None:
    write(tmp_path, house_1=1)
    with processor(tmp_path, settings=SETTINGS) as server:
        send(server, *(call(n, run=n % 2 + 1, hours=20 * n % 23) for n in range(1, 5)))
        assert server.stop() == 0
    for price, inserts in enumerate((1, 2, 3), 2):  # before the first of its inserts, and in between
        write(tmp_path, house_1=price)
        armed = program("mid reprice", inserts)
        with processor(tmp_path, settings=SETTINGS, program=armed) as server, pytest.raises(HTTPError):
            reprice(server)
        assert server.wait() == -signal.SIGKILL
        with processor(tmp_path, settings=SETTINGS) as server:
            assert changed(server) == {}  # it was acknowledged by the disk, and is done after the start
            assert totals(server) == {
                "usage_1m": [("house-1", 4, 8 * price, 0, 4_000_000)],
                "runs": [(1, 4 * price, 0, 2), (2, 4 * price, 0, 2)],
                "otel_traces_full": [("house-1", 8 * price, 0, 8 * price)],
            }
            assert server.value(DIFFERING_MINUTES) == 0
            assert server.stop() == 0


def test_calls_sampled_out_are_priced_by_their_sums_where_that_is_exact(tmp_path: Path) -> None:
    write(tmp_path, other=1)
    sampled = SETTINGS | {"sampling": {"probability": 1e-9}}
    start = time.time_ns() - HOUR * 10**9

    def made(number: int, model: str, **used: int) -> Span:
        return chat(number, trace_id=number % 10, provider="acme", model=model, tokens=used, start=start)

    with processor(tmp_path, settings=sampled) as server:
        failed = tool(50, trace_id=3, start=start, attributes={"error.type": "E"})
        told = [
            made(n + first, model, input=1001, output=11, read=7)
            for n in range(1, 5)
            for first, model in ((0, "house-1"), (10, "house-2"))
        ]
        silent = chat(60, trace_id=60, provider="acme", model="house-1", start=start)
        send(server, failed, silent, *told)
        kept = server.value("SELECT count() FROM otel_traces WHERE RequestModel = 'house-1'")
        assert 0 < kept < 4
        # A token of the second costs no whole number of nano-dollars: the sum of rounded costs is not told by tokens.
        write(tmp_path, house_1=2, house_2=0.0025)
        found = changes(reprice(server))
        assert found["sampled_out_calls"] == 4 - kept
        assert found["unsure"] == [{"provider": "acme", "model": "house-2", "calls": 4 - kept}]
        assert server.rows(
            "SELECT sum(cost_usd), sum(unpriced_calls), sum(calls_without_usage) FROM usage_1m WHERE model = 'house-1'"
        ) == [(4 * Decimal(1012 * 2) / 10**6, 1, 1)]
        again = changes(reprice(server))
        assert (again["changed"], again["sampled_out_calls"]) == ([], 0)


def test_calls_that_may_still_be_corrected_wait(tmp_path: Path) -> None:
    write(tmp_path, other=1)
    settings = SETTINGS | {"usage": {"settle_s": 600}}
    with processor(tmp_path, settings=settings) as server:
        server.export(request(call(1)))
        server.settled()
        write(tmp_path, house_1=1)
        assert changes(reprice(server)) == NOTHING | {"unsettled_calls": 1}
        assert totals(server)["runs"] == [(1, 0, 1, 1)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b"", 400),
        (b"[1]", 400),
        (b'{"since_s": 0}', 400),
        (b'{"since_s": true}', 400),
        (b'{"since_s": 1, "model": 2}', 400),
        (b'{"since_s": 1, "surprise": 2}', 400),
        (b'{"since_s": 1, "model": "' + b"x" * 5000 + b'"}', 413),
    ],
)
def test_an_order_that_is_none_is_refused(server: Processor, body: bytes, status: int) -> None:
    answer = server.ask("POST", "/v1/reprice", body, {"Content-Type": "application/json"})
    assert answer.status == status
    assert (b"since_s is needed" in answer.data) == (status == 400)


def test_a_web_page_cannot_ask(server: Processor) -> None:
    assert server.ask("POST", "/v1/reprice", b'{"since_s": 1}', {"Content-Type": "text/plain"}).status == 415


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with processor(tmp_path_factory.mktemp("reprice")) as started:
        yield started
