"""Runs a client's queries in the embedded engine: the gate first, then the limits, then the query."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import chdb

from clew_processor.query import lexer, settings, wire
from clew_processor.query.failure import QueryFailure
from clew_processor.query.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clew_processor.query.request import QueryRequest
    from clew_processor.query.settings import QuerySettings

#: Formats whose pieces, as the engine streams the blocks of a SELECT, are together the whole; others have a head or
#: a foot that would come with every piece. The engine leaves totals and extremes out when it streams; the binary ones
#: have none.
_STREAMED_BINARY = frozenset({"Native", "RowBinary"})
_STREAMED_TEXT = frozenset({"TabSeparated", "TSV", "CSV", "JSONEachRow", "JSONCompactEachRow"})

#: Output formats that need a schema file or a service, or are a protocol of their own.
_REFUSED_FORMATS = frozenset(
    {
        "AvroConfluent", "CapnProto", "MySQLWire", "ODBCDriver2", "PostgreSQLWire", "Protobuf", "ProtobufList",
        "ProtobufSingle", "Template",
    }
)  # fmt: skip

#: Connection settings that are no client's to change. `implicit_select` off: a bare expression is no statement, so that
#: classification, syntax tree and execution parse the same. Types in DESCRIBE stay on one line.
_FIXED = {"implicit_select": "0", "print_pretty_type_names": "0"}

_HELLO = "SELECT DISPLAYNAME(), VERSION(), REVISION(), TIMEZONE()"
_SETTINGS_PROBE = re.compile(r"SELECT name, value, readonly FROM system\.settings( LIMIT \d+)?")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the engine says about itself; does not change while it runs.

    Attributes:
        version: as in ``26.9.2.1``.
        timezone: the server's time zone.
        display_name: its name.
        formats: lower-case name -> name of every output format.
        writable_settings: names of the settings clients may change.
        gate: the gate for this engine.
    """

    version: str
    timezone: str
    display_name: str
    formats: dict[str, str]
    writable_settings: tuple[str, ...]
    gate: Gate


class Run:
    """One query, from its start to its end. All but `Engine.cancel` is for one thread at a time.

    Attributes:
        pieces: the result in its output format, once open. Raises QueryFailure when the engine fails the query, which
            may be after some of them.
        tag: names the query to the engine.
        cancelled: the query is to end.
        format: the output format's proper name.
        read_rows: rows read from tables so far.
        read_bytes: bytes read from tables so far.
        result_rows: rows of the result so far.
    """

    def __init__(self, engine: Engine, request: QueryRequest) -> None:
        self._engine = engine
        self._request = request
        self._connection: Any = None
        self._max_bytes = 0
        self._bytes = 0
        self.pieces: Iterator[bytes] = iter(())
        self.tag = uuid.uuid4().hex
        self.cancelled = False
        self.format = request.format
        self.read_rows = self.read_bytes = self.result_rows = 0

    def open(self) -> None:
        """Connect, set the limits, pass the gate, start.

        Raises:
            QueryFailure: the query is refused, or the engine fails it.
        """
        facts = self._engine.facts
        request = self._request
        self.format = _proper_format(facts, request.format)
        if " ".join(request.sql.split()).upper() == _HELLO and self.format == "Native" and request.protocol:
            hello = wire.hello_block(facts.display_name, facts.version, facts.timezone, request.protocol)
            self.pieces = iter([hello])
            self.result_rows = 1
            return
        filters = settings.row_filters(request.settings)
        sql = _honest_settings_probe(request.sql, facts)
        selects = self._pass_gate(facts.gate, sql, filters).startswith("Select")
        text = self.format in _STREAMED_TEXT and not _has_totals(request)
        streamed = selects and (text or self.format in _STREAMED_BINARY)
        self._connection = self._engine.connect()
        self._prepare(filters, streamed=streamed)
        if self.cancelled:
            raise QueryFailure(394, "QUERY_WAS_CANCELLED", "Query was cancelled")
        self.pieces = self._results(sql, selects=selects, streamed=streamed)

    def close(self) -> None:
        """Give up the connection; a query still running on it ends."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pass_gate(self, gate: Gate, sql: str, filters: dict[str, str]) -> str:
        # On a connection without the client's settings: `limit = 1` would cut the syntax tree the gate reads to a line.
        gate.check_database(self._request.database)
        connection = self._engine.connect()
        try:
            self._set(connection, _FIXED)
            connection.query("SET readonly = 1")
            for condition in filters.values():
                gate.check_condition(connection, condition)
            return gate.check(connection, sql, self._request.parameters)
        finally:
            connection.close()

    def _prepare(self, filters: dict[str, str], *, streamed: bool) -> None:
        chosen = settings.engine_settings(self._engine.limits, self._request.settings, buffered=not streamed)
        try:
            self._max_bytes = int(chosen["max_result_bytes"])
            self._set(self._connection, _FIXED | chosen | {"log_comment": self.tag})
            if filters:
                pairs = ", ".join(f"{lexer.quote(table)}: {lexer.quote(text)}" for table, text in filters.items())
                self._connection.query(f"SET {settings.ROW_FILTERS} = {{{pairs}}}")
            self._connection.query("SET readonly = 1")
        except RuntimeError as error:
            raise QueryFailure.from_engine(error) from None

    def _set(self, connection: Any, chosen: dict[str, str]) -> None:
        connection.query(f"USE {self._engine.database}")
        connection.query(settings.set_statement(chosen))

    def _results(self, sql: str, *, selects: bool, streamed: bool) -> Iterator[bytes]:
        parameters = dict(self._request.parameters)
        try:
            if streamed:
                for piece in self._connection.send_query(sql, self.format, params=parameters):
                    yield self._counted(piece)
            else:
                yield self._counted(self._connection.query(sql, self.format, params=parameters))
            if self.format == "Native" and selects and not self.result_rows:
                yield self._no_rows(sql, parameters)
        except RuntimeError as error:
            raise QueryFailure.from_engine(error) from None

    def _counted(self, piece: Any) -> bytes:
        self.result_rows += piece.rows_read()
        self.read_rows += piece.storage_rows_read()
        self.read_bytes += piece.storage_bytes_read()
        data: bytes = piece.bytes()
        self._bytes += len(data)
        # The engine has the same limit, but a column of constants counts there as one value.
        if self._max_bytes and self._bytes > self._max_bytes:
            limit = f"Limit for result exceeded, max bytes: {self._max_bytes}"
            raise QueryFailure(396, "TOO_MANY_ROWS_OR_BYTES", limit)
        return data

    def _no_rows(self, sql: str, parameters: dict[str, str]) -> bytes:
        described = self._connection.query(f"DESCRIBE TABLE (\n{sql}\n)", "JSONEachRow", params=parameters)
        columns = [json.loads(line) for line in described.bytes().splitlines()]
        return wire.empty_block((column["name"], column["type"]) for column in columns)


class Engine:
    """The embedded engine of this process, as clients may use it.

    Args:
        path: the data directory, the same the processor has open: a process has one engine on one path.
        database: the store's database.
        limits: bounds of every query.
    """

    def __init__(self, path: Path, database: str, limits: QuerySettings) -> None:
        self._path = str(path)
        self.database = database
        self.limits = limits

    def connect(self) -> Any:
        """A connection of its own; opening one takes about 0.1 ms."""
        return chdb.connect(self._path)

    def start(self, request: QueryRequest) -> Run:
        """A run, not opened yet."""
        return Run(self, request)

    def cancel(self, run: Run) -> None:
        """Make a run end soon, whatever its thread is doing. Its thread gets code 394."""
        run.cancelled = True
        connection = self.connect()
        try:
            connection.query(f"KILL QUERY WHERE Settings['log_comment'] = '{run.tag}' ASYNC")
        finally:
            connection.close()

    @cached_property
    def facts(self) -> Facts:
        """What the engine is; asked once."""
        connection = self.connect()
        try:
            formats = _column(connection, "SELECT name FROM system.formats WHERE is_output")
            (version, timezone, display_name) = _column(
                connection, "SELECT arrayJoin([version(), timezone(), displayName()]) AS name"
            )
            known = _column(connection, "SELECT name FROM system.settings")
            gate = Gate(
                database=self.database,
                databases=frozenset(_column(connection, "SELECT name FROM system.databases")),
                table_functions=frozenset(
                    _column(connection, "SELECT lower(name) AS name FROM system.table_functions")
                ),
                max_query_bytes=self.limits.max_query_bytes,
                max_nodes=self.limits.max_ast_elements,
            )
        finally:
            connection.close()
        return Facts(
            version=version,
            timezone=timezone,
            display_name=display_name,
            formats={name.lower(): name for name in formats},
            writable_settings=tuple(name for name in known if settings.writable(name)),
            gate=gate,
        )


def _column(connection: Any, sql: str) -> list[str]:
    lines = connection.query(sql, "JSONEachRow").bytes().splitlines()
    return [json.loads(line)["name"] for line in lines]


def _proper_format(facts: Facts, asked: str) -> str:
    name = facts.formats.get(asked.lower())
    if name is None or name in _REFUSED_FORMATS:
        raise QueryFailure(73, "UNKNOWN_FORMAT", f"Unknown format {asked}")
    return name


def _has_totals(request: QueryRequest) -> bool:
    """Whether rows may come after the result proper."""
    return "extremes" in request.settings or any(token.is_word("TOTALS") for token in lexer.tokens(request.sql))


def _honest_settings_probe(sql: str, facts: Facts) -> str:
    """clickhouse-connect asks which settings are read-only; under ``readonly = 1`` the engine would say all of them."""
    if not _SETTINGS_PROBE.fullmatch(" ".join(sql.split())):
        return sql
    names = ", ".join(lexer.quote(name) for name in facts.writable_settings)
    return f"SELECT name, value, toUInt8(name NOT IN ({names})) AS readonly FROM system.settings"
