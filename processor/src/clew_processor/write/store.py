"""The store: the embedded ClickHouse engine in a folder, or a server. Both through clickhouse-connect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from clew_processor.errors import ConfigError, StartError
from clew_processor.write import block
from clew_processor.write.trouble import Kind, StoreFault, fault, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

DATABASE = "clew"
SCHEMES = ("chdb", "clickhouse", "clickhouses")
EXPECTED_DSN = "chdb:///absolute/dir, clickhouse://user:password@host:8123/db or clickhouses://... for TLS"
CONNECT_TIMEOUT_S = 2
INSERT_SETTINGS = {
    "deduplicate_insert": "enable",
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
"""Tokens work, here and in views, whatever a server's profile says; each where the server knows it."""
SERVER_SETTINGS = {"async_insert": 0, "wait_end_of_query": 1}
"""Newer servers default to asynchronous inserts; this writer makes its own batches."""


class Store:
    """One connection for writing. Not thread-safe; the pipeline thread owns it after start.

    Attributes:
        path: of the embedded store; None for a server.
        database: its name.
    """

    def __init__(
        self, client: Client | None, *, path: Path | None, database: str, connect: Callable[[], Client] | None = None
    ) -> None:
        self.path = path
        self.database = database
        self._client = client
        self._connect = connect

    @classmethod
    def later(
        cls, dsn: str, *, answer_timeout_s: float, prepare: Callable[[Client, str], object] = lambda *_: None
    ) -> Store:
        """A store that connects when it is first used: it need not be up.

        Args:
            dsn: the store's address.
            answer_timeout_s: a server that is silent for longer has not answered.
            prepare: called with the client and the name of its database before anything is inserted, until it returns
                once; makes the tables.

        Raises:
            ConfigError: the DSN is wrong.
        """
        parts = parse_dsn(dsn)
        embedded = parts.scheme == "chdb"
        database = DATABASE if embedded else parts.path.strip("/") or DATABASE

        def connect() -> Client:
            client = _connected(parts, database, answer_timeout_s)
            try:
                prepare(client, database)
            except BaseException:
                client.close()
                raise
            return client

        return cls(None, path=Path(unquote(parts.path)) if embedded else None, database=database, connect=connect)

    @property
    def client(self) -> Client:
        """The connection.

        Raises:
            StartError: there is none yet, and none can be had now.
        """
        if self._client is None:
            assert self._connect is not None
            self._client = self._connect()
        return self._client

    def put(self, table: str, rows: pa.Table, *, token: str, skip_views: bool = False) -> None:
        """Inserts all rows or none of them, once for each token; tries once.

        The rows go as one block: the engine writes a block's part of a partition whole or not at all.

        Args:
            table: its name in the database.
            rows: columns named and typed as the table's, all in one partition.
            token: deduplication token, unique to these rows and this table.
            skip_views: let materialized views on the table fail.

        Raises:
            StoreFault: it was not confirmed.
        """
        settings: dict[str, Any] = {"insert_deduplication_token": token}
        if skip_views:
            settings["materialized_views_ignore_errors"] = 1
        known = self._reached().server_settings
        settings |= {name: value for name, value in INSERT_SETTINGS.items() if name in known}
        if self.path is None:
            settings |= SERVER_SETTINGS
        try:
            self._send(table, rows.combine_chunks(), settings)
        except Exception as error:
            raise fault(error) from error

    def read(self, sql: str, parameters: dict[str, Any], *, as_bytes: Sequence[str] = ()) -> list[Sequence[Any]]:
        """The rows of a SELECT; tries once.

        Args:
            sql: with `{name:Type}` where a parameter goes.
            parameters: by name.
            as_bytes: String columns that are not text.

        Raises:
            StoreFault: there was no answer.
        """
        client = self._reached()
        try:
            formats: dict[str, str | dict[str, str]] = dict.fromkeys(as_bytes, "bytes")
            return list(client.query(sql, parameters=parameters, column_formats=formats).result_rows)
        except Exception as error:
            raise fault(error) from error

    def _reached(self) -> Client:
        """The connection.

        Raises:
            StoreFault: there is none yet, and none can be had now: whatever the reason, no row is at fault.
        """
        try:
            return self.client
        except Exception as error:
            raise StoreFault(str(error), Kind.TROUBLE) from error

    def _send(self, table: str, rows: pa.Table, settings: dict[str, Any]) -> None:
        insert = (block.plain if self.path else block.compressed)(f"{quoted(self.database)}.{table}", rows)
        self.client.raw_insert(**insert, settings=settings)

    def close(self) -> None:
        """Releases the connection (and the embedded engine's lock on its folder)."""
        if self._client is not None:
            self._client.close()


def parse_dsn(dsn: str) -> SplitResult:
    """The store's address.

    Raises:
        ConfigError: not a DSN of a known kind. The message shows it without user and password.
    """
    shown = re.sub(r"://.*@", "://***@", dsn)
    try:
        parts = urlsplit(dsn)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"store: {shown!r} is not a DSN ({error}); expected {EXPECTED_DSN}") from error
    if parts.scheme not in SCHEMES:
        raise ConfigError(f"store: {shown!r} has an unknown scheme {parts.scheme!r}; expected {EXPECTED_DSN}")
    if parts.scheme == "chdb" and (parts.netloc or not parts.path.startswith("/") or len(parts.path) < 2):
        raise ConfigError(f"store: {shown!r} names no absolute directory; expected chdb:///absolute/dir")
    if parts.scheme != "chdb" and not parts.hostname:
        raise ConfigError(f"store: {shown!r} names no host; expected {parts.scheme}://user:password@host:8123/db")
    database = parts.path.strip("/")
    if parts.scheme != "chdb" and database and not re.fullmatch(r"[A-Za-z_]\w{0,127}", database, re.ASCII):
        raise ConfigError(f"store: database {database!r} is not a plain name; expected letters, digits and underscores")
    return parts


def _connected(parts: SplitResult, database: str, answer_timeout_s: float) -> Client:
    arguments: dict[str, Any]
    if parts.scheme == "chdb":
        arguments = {"dsn": f"chdb://{unquote(parts.path)}"}
    else:
        arguments = {
            "host": parts.hostname,
            "port": parts.port or (8443 if parts.scheme == "clickhouses" else 8123),
            "username": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "secure": parts.scheme == "clickhouses",
            "compress": "lz4",
            "autogenerate_session_id": False,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "send_receive_timeout": answer_timeout_s,
        }
    try:
        with clickhouse_connect.get_client(**arguments) as client:
            client.command(f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")
        return clickhouse_connect.get_client(**arguments, database=database)
    except (ClickHouseError, OSError, RuntimeError, ValueError) as error:
        where = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        raise StartError(f"store: cannot open {where}: {reason(error)}") from error


def quoted(identifier: str) -> str:
    """The identifier in backquotes."""
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"
