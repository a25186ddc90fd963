"""Creates the tables: every numbered file of `processor/sql`, once, in order, resumable."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from clew_processor.errors import StartError
from clew_processor.write.trouble import reason

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file.

    Attributes:
        version: its number.
        name: the object it creates or changes.
        template: its text, with $settings to fill in.
    """

    version: int
    name: str
    template: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file as shipped."""
        return hashlib.sha256(self.template.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Retention:
    """Days each kind of row is kept."""

    spans_days: int
    runs_days: int
    content_days: int
    logs_days: int


def migrations() -> list[Migration]:
    """Every file of `processor/sql`, in order of version."""
    found = [
        Migration(int(match[1]), match[2], file.read_text("utf-8"))
        for file in resources.files("clew_processor").joinpath("sql").iterdir()
        if (match := _NAME.fullmatch(file.name))
    ]
    return sorted(found, key=lambda migration: migration.version)


def apply_schema(client: Client, database: str, retention: Retention) -> list[Migration]:
    """Brings the client's default database up to date.

    Every file is idempotent, so an interrupted run is simply run again.

    Args:
        client: its default database is the one to change.
        database: its name, for messages.
        retention: fills in the tables' TTLs when they are made.

    Returns:
        What was applied now; empty on a second run.

    Raises:
        StartError: a file applied earlier has changed since, or the database is newer than this version knows, or the
            store refuses.
    """
    try:
        return _apply(client, database, retention)
    except ClickHouseError as error:
        raise StartError(f"store: cannot bring database {database} up to date: {reason(error)}") from error


def _apply(client: Client, database: str, retention: Retention) -> list[Migration]:
    applied: dict[int, str] = {}
    if int(str(client.command("EXISTS TABLE schema_migrations"))):
        rows = client.query("SELECT version, checksum FROM schema_migrations FINAL").result_rows
        applied = {int(version): checksum for version, checksum in rows}
    known = migrations()
    if unknown := applied.keys() - {migration.version for migration in known}:
        raise StartError(
            f"store: database {database} has schema version {max(unknown)}, newer than this processor knows "
            f"({known[-1].version}): run the newer clew-processor, or another database"
        )
    now = []
    for migration in known:
        if migration.version in applied:
            if applied[migration.version] != migration.checksum:
                raise StartError(
                    f"store: {migration.version:04}_{migration.name}.sql is not the file that "
                    f"database {database} was made with; a change to the schema has to come as a new file"
                )
            continue
        client.command(_filled(migration.template, database, retention))
        client.insert(
            "schema_migrations",
            [[migration.version, migration.name, migration.checksum]],
            column_names=["version", "name", "checksum"],
        )
        now.append(migration)
    return now


def _filled(template: str, database: str, retention: Retention) -> str:
    return Template(template).substitute(
        database=database,
        spans_ttl_days=retention.spans_days,
        runs_ttl_days=retention.runs_days,
        content_ttl_days=retention.content_days,
        logs_ttl_days=retention.logs_days,
    )
