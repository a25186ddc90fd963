"""`clew reprice`: prices stored calls again. It is the processor's work, which is asked at its HTTP address."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew.cli import units
from clew.cli.control import order
from clew.cli.errors import CliError
from clew.cli.options import DEFAULT_HTTP, Http, Json, since_seconds
from clew.cli.text import escape, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S = 3600.0
_NAMED_AT_MOST = 5


def reprice(
    *,
    since: Annotated[
        int, typer.Option("--since", parser=since_seconds, metavar="SPAN", help="Calls that started within 1h, 7d ...")
    ] = "24h",  # type: ignore[assignment] # typer parses it
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Only calls of this model.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
    http: Http = DEFAULT_HTTP,
    as_json: Json = False,
) -> None:
    """Price calls again that have no price, or one of an older price table, by the prices in force now.

    Runs, totals and spans then have the new cost, each once; what was interrupted is finished by doing it again.
    Reported costs stay as they are.
    """
    from clew.cli.output import console, put, write_json

    said = order(http, "/v1/reprice", {"since_s": since, "model": model, "dry_run": dry_run}, timeout_s=_TIMEOUT_S)
    try:
        told: dict[str, Any] = json.loads(said)
        lines = list(_lines(told))
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(f"{http} does not answer as a clew processor does; it sent: {said[:200]!r}") from error
    if as_json:
        money = {"before_usd": Decimal, "after_usd": Decimal}
        changed = [{key: money.get(key, _same)(value) for key, value in one.items()} for one in told["changed"]]
        write_json(told | {"changed": changed})
        return
    screen = console()
    _table(screen, told["changed"])
    for line in lines:
        put(screen, line)


def _same(value: Any) -> Any:
    return value


def _table(screen: Any, changed: list[dict[str, Any]]) -> None:
    from clew.cli.output import Column, table

    if not changed:
        return
    columns = [
        Column("MODEL", flexible=True),
        *(Column(title, right=True) for title in ("CALLS", "BEFORE", "AFTER", "DIFFERENCE")),
    ]
    rows = []
    for one in changed:
        before, after = Decimal(one["before_usd"]), Decimal(one["after_usd"])
        amounts = [units.money(before), units.money(after), _signed(after - before)]
        rows.append([(_name(one), ""), (f"{one['calls']:,}", ""), *((amount, "") for amount in amounts)])
    table(screen, columns, rows)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    changed = told["changed"]
    calls = sum(one["calls"] for one in changed)
    difference = sum((Decimal(one["after_usd"]) - Decimal(one["before_usd"]) for one in changed), Decimal(0))
    would = "would have" if told["dry_run"] else "have"
    if calls:
        yield f"{plural(calls, 'call')} {would} another cost: {_signed(difference)}"
    else:
        yield "No cost is another by the prices in force."
    if told["sampled_out_calls"]:
        yield (
            f"{plural(told['sampled_out_calls'], 'call')} of them were sampled out: "
            "the totals have their cost, their runs have not"
        )
    if told["unsettled_calls"]:
        yield (
            f"{plural(told['unsettled_calls'], 'call')} may still be corrected and were left: "
            "ask again when usage.settle_s has passed"
        )
    if told["unpriced"]:
        yield f"still without a price: {_listed(told['unpriced'])}: say what they cost in prices.file"
    if told["unsure"]:
        yield f"sampled out, and left because sums do not tell their cost: {_listed(told['unsure'])}"
    if not told["stored"]:
        yield "the store has not taken it yet: it will, nothing is to be done"


def _listed(models: list[dict[str, Any]]) -> str:
    named = [f"{_name(one)} ({one['calls']:,})" for one in models[:_NAMED_AT_MOST]]
    more = len(models) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _name(one: dict[str, Any]) -> str:
    return escape("/".join(filter(None, (one["provider"], one["model"]))) or "no model named")


def _signed(usd: Decimal) -> str:
    return f"{'-' if usd < 0 else '+'}{units.money_exact(abs(usd))}"
