"""The store: the embedded ClickHouse engine in a folder, or a server. Both through clickhouse-connect."""

from __future__ import annotations

import logging
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from clew_processor.errors import ConfigError, StartError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

DATABASE = "clew"
SCHEMES = ("chdb", "clickhouse", "clickhouses")
EXPECTED_DSN = "chdb:///absolute/dir, clickhouse://user:password@host:8123/db or clickhouses://... for TLS"
CONNECT_TIMEOUT_S = 2


class Store:
    """One connection for writing. Not thread-safe; the pipeline thread owns it after start."""

    def __init__(self, client: Client, *, path: Path | None, database: str) -> None:
        self.client = client
        self.path = path  # of the embedded store; None for a server
        self.database = database
        self._insert_settings: dict[str, Any] = {
            # A batch of old spans may touch more days than the engine's default of 100 partitions.
            "max_partitions_per_insert_block": 0,
        }
        if path is None:
            # Newer servers default to asynchronous inserts; this writer makes its own batches.
            self._insert_settings |= {"async_insert": 0, "wait_end_of_query": 1}

    def insert(
        self,
        table: str,
        rows: pa.Table,
        *,
        token: str,
        deadline_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Inserts all rows, trying again while the store is in trouble; the same token stores them once.

        Args:
            table: its name in the database.
            rows: columns named and typed as the table's.
            token: deduplication token, unique to these rows and this table.
            deadline_s: how long to go on trying.
            clock: seconds, monotonic.
            sleep: waits seconds between tries.

        Raises:
            StoreError: it was not taken in time; the message carries the store's answer.
        """
        settings = self._insert_settings | {"insert_deduplication_token": token}
        give_up_at = clock() + deadline_s
        pause = 0.1
        names, block = rows.schema.names, self._arrow_file(rows)
        while True:
            try:
                self.client.raw_insert(f"{quoted(self.database)}.{table}", names, block, settings, "Arrow")
                return
            except (ClickHouseError, OSError) as error:
                if clock() + pause >= give_up_at:
                    raise StoreError(f"the store did not take {rows.num_rows} rows for {table}: {error}") from error
                log.warning("the store did not take %d rows for %s, trying again: %s", rows.num_rows, table, error)
                sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(pause * 2, 2.0)

    def _arrow_file(self, rows: pa.Table) -> pa.Buffer:
        """The rows as an Arrow file; compressed for the network, by this thread (a pool costs more than it gives)."""
        options = pa.ipc.IpcWriteOptions(compression=None if self.path else "lz4", use_threads=False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema, options=options) as writer:
            writer.write_table(rows)
        return sink.getvalue()

    def close(self) -> None:
        """Releases the connection (and the embedded engine's lock on its folder)."""
        self.client.close()


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


def open_store(dsn: str, *, answer_timeout_s: float) -> Store:
    """Connects and makes sure the database exists.

    Args:
        dsn: the store's address.
        answer_timeout_s: a server that is silent for longer has not taken an insert.

    Raises:
        ConfigError: the DSN is wrong.
        StartError: the store cannot be reached, or refuses; the message names the address without the password.
    """
    parts = parse_dsn(dsn)
    embedded = parts.scheme == "chdb"
    database = DATABASE if embedded else parts.path.strip("/") or DATABASE
    arguments: dict[str, Any]
    if embedded:
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
        client = clickhouse_connect.get_client(**arguments, database=database)
    except (ClickHouseError, OSError, RuntimeError, ValueError) as error:
        where = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        raise StartError(f"store: cannot open {where}: {reason(error)}") from error
    return Store(client, path=Path(unquote(parts.path)) if embedded else None, database=database)


def reason(error: BaseException) -> str:
    """Why, in a line: what the network said, or the store, without its stack trace."""
    innermost = error
    while following := innermost.__cause__ or innermost.__context__:
        innermost = following
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return str(error).partition(", Stack trace")[0].strip().partition("\n")[0]


def quoted(identifier: str) -> str:
    """The identifier in backquotes."""
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"
