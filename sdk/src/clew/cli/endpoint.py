"""The query endpoint: ClickHouse's HTTP interface, spoken with the standard library alone.

Values that come from outside (trace ids, agent names) travel as ``param_*`` and never become part of the SQL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from clew.cli.errors import CliError, EndpointDown, QueryError

DEFAULT_ADDRESS = "127.0.0.1:8123"

#: The database every clew store uses.
DATABASE = "clew"

#: Longer than the endpoint's own limit on a query, so that its error arrives instead of ours.
_TIMEOUT_S = 120.0

Row = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """One query endpoint.

    Attributes:
        url: its address, without a trailing slash, such as ``http://127.0.0.1:8123``.
    """

    url: str

    @classmethod
    def at(cls, address: str) -> Endpoint:
        """The endpoint at ``HOST:PORT`` or at an ``http(s)://`` address.

        Raises:
            CliError: the address is neither (exit code 2).
        """
        url = address if "://" in address else f"http://{address}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            raise CliError(
                f"{address!r} is no address of a query endpoint: write HOST:PORT, such as {DEFAULT_ADDRESS}",
                exit_code=2,
            )
        return cls(url.rstrip("/"))

    def rows(self, sql: str, **params: object) -> list[Row]:
        """The answer to one SELECT, a dict a row.

        Whole numbers come as int, decimals as `Decimal` without loss, floats as float, the rest as the store's JSON
        has it.

        Raises:
            EndpointDown: nothing answers.
            QueryError: the store answers with an error.
        """
        with self.open(sql, "JSONCompact", params) as response:
            body = response.read()
        try:
            answer = json.loads(body, parse_float=Decimal)
            names = [column["name"] for column in answer["meta"]]
            types = [_bare(column["type"]) for column in answer["meta"]]
            data = answer["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise QueryError(f"{self.url} does not answer as ClickHouse does; it sent: {body[:200]!r}") from error
        return [
            {name: _value(value, kind) for name, value, kind in zip(names, row, types, strict=True)} for row in data
        ]

    @contextmanager
    def open(self, sql: str, form: str, params: Mapping[str, object] | None = None) -> Iterator[IO[bytes]]:
        """The answer to one statement as a stream of bytes in ClickHouse's format ``form``.

        Raises:
            EndpointDown: nothing answers, or the connection breaks.
            QueryError: the store answers with an error; its own words.
        """
        query = {"database": DATABASE, "default_format": form}
        query |= {f"param_{name}": _parameter(value) for name, value in (params or {}).items()}
        request = Request(f"{self.url}/?{urlencode(query)}", data=sql.encode())  # noqa: S310 - `at` checked the scheme
        # Straight to the address named: a proxy of the environment does not know this machine's loopback.
        opener = build_opener(ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                yield response
        except HTTPError as error:
            raise QueryError(error.read().decode(errors="replace").strip() or f"HTTP {error.code}") from error
        except URLError as error:
            raise self._down(error.reason) from error
        except (OSError, EOFError) as error:
            if isinstance(error, BrokenPipeError):
                raise  # our own output was closed, as by `head`
            raise self._down(error) from error

    def _down(self, reason: object) -> EndpointDown:
        why = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        return EndpointDown(
            f"no clew processor answers at {self.url} ({why}).\n"
            "Start one with `clew up`, or name another address with --query HOST:PORT or CLEW_QUERY."
        )


def _bare(kind: str) -> str:
    """The ClickHouse type without the wrappers that do not change how a value is written."""
    for wrapper in ("LowCardinality(", "Nullable(", "SimpleAggregateFunction(sum, "):
        if kind.startswith(wrapper):
            return _bare(kind[len(wrapper) : -1])
    return kind


def _value(value: Any, kind: str) -> Any:
    """One JSON value as its ClickHouse type means it; 64-bit numbers may come quoted or not."""
    if value is None or isinstance(value, bool):
        return value
    if kind.startswith(("Int", "UInt")):
        return int(value)
    if kind.startswith("Decimal"):
        return Decimal(str(value))
    if kind.startswith("Float"):
        return float(value)
    return value


def _parameter(value: object) -> str:
    r"""A value as ``param_*`` wants it: TSV-escaped, an array as its literal.

    https://clickhouse.com/docs/interfaces/http#cli-queries-with-parameters
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join("'" + _escaped(str(item)).replace("'", "\\'") + "'" for item in value) + "]"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
