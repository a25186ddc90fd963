"""`clew doctor`: each check a line, and under what is wrong what to do next."""

from __future__ import annotations

import textwrap
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clew.cli import units
from clew.cli.endpoint import Endpoint
from clew.cli.errors import EndpointDown, QueryError
from clew.cli.options import DEFAULT_ADDRESS, DEFAULT_HTTP, Http, Json, Query
from clew.cli.text import escape, plural
from clew.cli.version import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

#: ``hint``: worth knowing, but nothing is broken.
Verdict = Literal["ok", "hint", "problem"]

SIGNS: dict[Verdict, tuple[str, str]] = {"ok": ("✓", "green"), "hint": ("!", "yellow"), "problem": ("✗", "red")}

#: Loops, gates and unpriced calls older than this are no longer news.
_RECENT = units.SECONDS["d"]


@dataclass(frozen=True)
class Check:
    """One line.

    Attributes:
        name: which check, for JSON.
        verdict: how it went.
        found: what was found.
        advice: what to do next; empty if nothing.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def doctor(
    *,
    endpoint: Annotated[
        str,
        typer.Option(envvar="OTEL_EXPORTER_OTLP_ENDPOINT", metavar="URL", help="Where telemetry is sent (OTLP/gRPC)."),
    ] = "http://127.0.0.1:4317",
    query: Query = DEFAULT_ADDRESS,
    http: Http = DEFAULT_HTTP,
    dialects: Annotated[
        bool, typer.Option("--dialects", help="List instead in which dialects spans came, and what none is known for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send a probe, read it back, and check the span balance, versions, instrumented libraries and prices."""
    if dialects:
        from clew.cli.dialects import show

        show(Endpoint.at(query), as_json=as_json)
        return
    from rich.text import Text

    from clew.cli.output import console, put, write_json

    store = Endpoint.at(query)
    checks: list[Check] = []
    screen = console()
    for check in _checks(store, endpoint, http):
        checks.append(check)
        if as_json:
            continue
        sign, style = SIGNS[check.verdict]
        for number, line in enumerate(_lines(check.found, screen.width)):
            text = Text(f"{'  ' if number else sign + ' '}", style)
            put(screen, text.append(line, "red" if check.verdict == "problem" else "default"))
        for number, line in enumerate(_lines(check.advice, screen.width - 2)):
            put(screen, f"  {'  ' if number else '→ '}{line}")
    healthy = all(check.verdict != "problem" for check in checks)
    if as_json:
        write_json({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    if not healthy:
        raise typer.Exit(1)


def _checks(store: Endpoint, otlp: str, http: str) -> Iterator[Check]:
    yield _parts()
    yield from _libraries()
    trace_id, sent = _sent(otlp)
    yield sent
    yield from _spool(http)
    try:
        version = store.rows("SELECT version() AS version")[0]["version"]
    except (EndpointDown, QueryError) as error:
        found, _, advice = str(error).partition("\n")
        yield Check("query", "problem", escape(found), escape(advice))
        return
    yield Check("query", "ok", f"the query endpoint {store.url} answers: ClickHouse {escape(version)}")
    checks = [_balance, _dead_letters, _unpriced, _dialects, _loops, _budgets]
    if trace_id:
        checks.insert(0, lambda store: _came_back(store, trace_id))
    for check in checks:
        try:
            yield from check(store)
        except QueryError as error:
            yield Check(
                "query",
                "problem",
                f"the store refuses a query: {escape(str(error))}",
                "is this a clew store of this version? `clew version`, `clew query 'SELECT * FROM schema_migrations'`",
            )


def _lines(text: str, width: int) -> list[str]:
    """The text broken between words to lines that leave room for a sign before them."""
    return textwrap.wrap(text, max(40, width - 2), break_long_words=False, break_on_hyphens=False)


def _parts() -> Check:
    parts = versions()
    named = [f"{part} {number}" for part, number in parts.items() if number]
    missing = [part for part, number in parts.items() if not number]
    found = ", ".join(named) + (f" (not in this environment: {', '.join(missing)})" if missing else "")
    return Check("versions", "ok", found)


def _libraries() -> Iterator[Check]:
    import clew

    here = clew.instrumentations()
    if not here:
        yield Check(
            "libraries",
            "hint",
            "no model client or agent framework that clew instruments is installed here",
            "if your agent runs elsewhere, that is fine; else pip install 'clew[openai]', 'clew[anthropic]' ...",
        )
    recorded = {library.library for library in here if library.installed}
    for library in here:
        named = " ".join(filter(None, (library.library, library.library_version)))
        because = f" ({'; '.join(library.unsuitable)})" if library.unsuitable else ""
        if not library.installed:
            found = f"{named} is installed here, what records it is not{because}"
            yield Check("libraries", "hint", found, f"pip install {library.install}")
            continue
        by = "its own OpenTelemetry output" if library.own else f"{library.package} {library.version}"
        supply = [name for name in library.beside if name in recorded]
        more = f", its model calls by {' and '.join(supply)}" if supply else ""
        yield Check("libraries", "ok", f"{named} is recorded by {by}{more}{because}")


def _sent(otlp: str) -> tuple[str, Check]:
    """The probe's trace id, empty if it was not accepted."""
    from clew.cli import probe

    begun = time.monotonic_ns()
    try:
        trace_id = probe.send(otlp)
    except (ConnectionError, ValueError) as error:
        return "", Check(
            "probe_sent",
            "problem",
            f"no span was accepted at {escape(otlp)}: {escape(str(error))}",
            "start a processor with `clew up`, or name its OTLP/gRPC address with --endpoint URL",
        )
    took = units.duration(time.monotonic_ns() - begun)
    return trace_id, Check("probe_sent", "ok", f"a probe span was accepted at {escape(otlp)} after {took}")


def _came_back(store: Endpoint, trace_id: str) -> Iterator[Check]:
    from clew.cli import probe

    if probe.read_back(store, trace_id):
        yield Check("probe_read", "ok", "the probe was read back from the store")
    else:
        yield Check(
            "probe_read",
            "problem",
            f"the probe (trace {trace_id}) was acknowledged but cannot be read at {store.url}",
            "do --endpoint and --query belong to the same processor? If so, read its log",
        )


def _spool(http: str) -> Iterator[Check]:
    from clew.cli import vitals

    try:
        now = vitals.read(http)
    except ConnectionError as error:
        yield Check(
            "spool",
            "hint",
            f"no numbers of the processor at {escape(http)}: {escape(str(error))}",
            "name its HTTP address with --http HOST:PORT or CLEW_HTTP",
        )
        return
    waits = f"{plural(now.in_flight, 'span')} in the spool ({now.spool_bytes / 1e6:,.1f} MB on disk)"
    if now.trouble:
        yield Check(
            "spool",
            "problem",
            f"the store takes no inserts, for {units.duration(round(now.lag_s * 1e9))} now: {waits}",
            "nothing acknowledged is lost: it is stored when the store is back. The processor's log says what is wrong",
        )
    else:
        yield Check("spool", "ok", f"{waits}, the store takes inserts")
    if now.received != now.settled + now.in_flight:
        yield Check(
            "in_flight",
            "problem",
            f"spans do not add up: {now.received:,} received, {now.settled:,} settled and {now.in_flight:,} in flight",
            "this is a defect of the processor: please report it with what its /metrics shows",
        )


def _dead_letters(store: Endpoint) -> Iterator[Check]:
    rows = store.rows(
        "SELECT `where`, count() AS letters FROM dead_letter GROUP BY `where` ORDER BY letters DESC LIMIT 5"
    )
    if rows:
        found = ", ".join(f"{row['letters']:,} of {escape(row['where'])}" for row in rows)
        yield Check("dead_letters", "hint", f"dead letters: {found}", "clew dead-letter list")


def _balance(store: Endpoint) -> Iterator[Check]:
    kinds = ("received", "stored", "sampled_out", "rejected", "dead_letter")
    sums = ", ".join(f"sum({kind}) AS {kind}_spans" for kind in kinds)
    sums += ", sumIf(ledger_1m.stored, reason = 'start_record') AS start_records"
    row = store.rows(f"SELECT {sums} FROM ledger_1m WHERE signal = 'traces'")[0]
    received, *fates = (int(row[f"{kind}_spans"]) for kind in kinds)
    said = " + ".join(f"{number:,} {kind}" for number, kind in zip(fates, kinds[1:], strict=True))
    if received == sum(fates):
        starts = int(row["start_records"])
        told = f"; {plural(starts, 'start record')} among the stored" if starts else ""
        yield Check("balance", "ok", f"spans add up: {received:,} received = {said}{told}")
    else:
        yield Check(
            "balance",
            "problem",
            f"spans do not add up: {received:,} received, but {said} = {sum(fates):,}",
            "this is a defect of the processor: please report it with `clew query 'SELECT * FROM ledger_1m'`",
        )
    rejected = store.rows(
        "SELECT reason, sum(ledger_1m.rejected) AS spans FROM ledger_1m "
        "WHERE reason NOT IN ('', 'duplicate') AND minute >= now() - toIntervalSecond({recent:UInt64}) "
        "GROUP BY reason HAVING spans > 0 ORDER BY spans DESC LIMIT 5",
        recent=_RECENT,
    )
    if rejected:
        reasons = ", ".join(f"{row['spans']:,} {escape(row['reason'])}" for row in rejected)
        yield Check("rejected", "hint", f"spans rejected in the last day: {reasons}", "the senders' logs say which")


def _unpriced(store: Endpoint) -> Iterator[Check]:
    rows = store.rows(
        "SELECT provider, model, sum(unpriced_models.calls) AS unpriced, count() OVER () AS models "
        "FROM unpriced_models WHERE last_seen >= now() - toIntervalSecond({recent:UInt64}) "
        "GROUP BY provider, model ORDER BY unpriced DESC, provider, model LIMIT 5",
        recent=_RECENT,
    )
    if not rows:
        yield Check("unpriced", "ok", "every model called in the last day has a price")
        return
    named = ", ".join(
        f"{escape('/'.join(filter(None, (row['provider'], row['model']))) or 'no model named')} ({row['unpriced']:,})"
        for row in rows
    )
    more = rows[0]["models"] - len(rows)
    yield Check(
        "unpriced",
        "hint",
        f"calls of models without a price: {named}" + (f" and {plural(more, 'model')} more" if more else ""),
        "their cost is missing from every total: say what they cost in prices.file, then `clew reprice`",
    )


def _dialects(store: Endpoint) -> Iterator[Check]:
    row = store.rows(
        "SELECT sumIf(dialects.spans, dialect = '') AS spans, uniqExactIf(signature, signature != '') AS kinds "
        "FROM dialects WHERE last_seen_at >= now64(3) - toIntervalSecond({recent:UInt64})",
        recent=_RECENT,
    )[0]
    if row["spans"]:
        found = f"{plural(row['spans'], 'span')} of the last day look like GenAI but match no known dialect"
        yield Check("dialects", "hint", found, "clew doctor --dialects says what they carry")
    else:
        yield Check("dialects", "ok", "every span of the last day that looks like GenAI is of a known dialect")


def _loops(store: Endpoint) -> Iterator[Check]:
    row = store.rows(
        "SELECT count() AS found, sum(wasted_cost_usd) AS usd FROM loops "
        "WHERE last_seen_at >= now64(9) - toIntervalSecond({recent:UInt64})",
        recent=_RECENT,
    )[0]
    if row["found"]:
        found = f"{plural(row['found'], 'loop')} in the last day wasted {units.money_exact(row['usd'])}"
        yield Check("loops", "hint", found, "clew loops --since 1d")


def _budgets(store: Endpoint) -> Iterator[Check]:
    row = store.rows(
        "SELECT count() AS stops FROM gates WHERE kind = 'budget' AND outcome IN ('deny', 'abort') "
        "AND requested_at >= now64(9) - toIntervalSecond({recent:UInt64})",
        recent=_RECENT,
    )[0]
    if row["stops"]:
        found = f"{plural(row['stops'], 'stop')} by a budget in the last day"
        yield Check("budgets", "hint", found, "clew runs --since 1d --fail-on denied")
