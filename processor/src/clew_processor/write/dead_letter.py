"""Dead letters: rows the store refuses for good, kept as they are, to be looked at and tried again."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from clew_processor.arrow import milliseconds
from clew_processor.write.schema import migrations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clew_processor.write.writer import Writer

TABLE: Final = "dead_letters"
"""Storage behind `dead_letter`."""

_AT_ONCE = 64
"""Letters whose rows are in memory together."""

DeadLettered = dict[str, Counter[str]]
"""Table -> tenant -> rows of it that were made dead letters."""

TENANT: Final = ("TenantId", "tenant_id")
TRACE: Final = ("TraceId", "trace_id")
SPAN: Final = ("SpanId", "span_id")
"""Names of the columns that say whose a row is, whichever its table has."""


class Letter(NamedTuple):
    """One row or record that cannot be stored.

    Attributes:
        where: the table that refused it; `request` for a request that could not be processed.
        position: tells it from the others of its batch.
        content: a row as an Arrow stream, a request as it was received.
    """

    tenant: str
    where: str
    position: str
    reason: str
    content: bytes
    code: int = 0
    trace_id: str = ""
    span_id: str = ""


def letter_rows(batch_id: str, letters: Sequence[Letter], arrival_ns: int) -> pa.Table:
    """Rows of dead_letters.

    Args:
        batch_id: of the batch they were in; with the place and position it makes their id, the same in every replay.
        letters: at least one.
        arrival_ns: the batch's.
    """
    count = len(letters)
    return pa.table(
        {
            "tenant_id": pa.array([letter.tenant for letter in letters]),
            "where": pa.array([letter.where for letter in letters]),
            "id": pa.array([_id(batch_id, letter) for letter in letters]),
            "reason": pa.array([letter.reason for letter in letters]),
            "code": pa.array([letter.code for letter in letters], pa.uint32()),
            "trace_id": pa.array([letter.trace_id for letter in letters]),
            "span_id": pa.array([letter.span_id for letter in letters]),
            "batch": pa.array([batch_id] * count),
            "position": pa.array([letter.position for letter in letters]),
            "arrived_at": milliseconds(arrival_ns, count),
            "bytes": pa.array([letter.content for letter in letters], pa.binary()),
        }
    )


def _id(batch_id: str, letter: Letter) -> str:
    text = f"{batch_id} {letter.where} {letter.position}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def row_letters(
    table: str, rows: pa.Table, positions: Sequence[str], reasons: Sequence[tuple[int, str]]
) -> list[Letter]:
    """Rows of a table as dead letters.

    Args:
        table: its name.
        rows: as they were to be inserted.
        positions: of each.
        reasons: ClickHouse's code and what it said, of each.
    """
    rows = _without_dictionaries(rows)
    tenants, traces, spans = (texts(rows, names) for names in (TENANT, TRACE, SPAN))
    return [
        Letter(
            tenant=tenants[i],
            where=table,
            position=positions[i],
            reason=reasons[i][1],
            content=_stream(rows.slice(i, 1)),
            code=reasons[i][0],
            trace_id=traces[i],
            span_id=spans[i],
        )
        for i in range(rows.num_rows)
    ]


def texts(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """The values of the first of these columns that the table has; empty texts if it has none."""
    for name in names:
        if name in rows.schema.names:
            values: list[str] = rows.column(name).to_pylist()
            return values
    return [""] * rows.num_rows


def _without_dictionaries(rows: pa.Table) -> pa.Table:
    """The same rows with every value in its place, so that a row does not carry the words of all others."""
    return rows.cast(pa.schema([field.with_type(_plain(field.type)) for field in rows.schema]))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    return kind


def _stream(row: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_table(row)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def retry_dead_letters(writer: Writer, batch_id: str, ids: Sequence[str], *, arrival_ns: int) -> DeadLettered:
    """Inserts rows again that are dead letters. Those the store refuses once more become new dead letters.

    A crash anywhere in here is mended by calling it again with the same arguments: the rows are inserted under tokens
    of this batch, and then the letters are marked as gone, all at once, with the batch that did it.

    Args:
        writer: of the store they are in.
        batch_id: of this retry, unlike that of any other batch.
        ids: of the letters; those that are not there, or are no rows, are left alone.
        arrival_ns: when the retry was asked for.

    Returns:
        How many rows are stored now, by table and tenant: what the ledger has to move from `dead_letter` to `stored`.
        The same again when it is repeated.

    Raises:
        Stopped: told to leave while the store was in trouble.
    """
    stored: DeadLettered = {}
    some = sorted(set(ids))
    for start in range(0, len(some), _AT_ONCE):
        part = f"{batch_id}:{start}"
        for where, tenant, count in _retry(writer, part, some[start : start + _AT_ONCE], arrival_ns):
            stored.setdefault(where, Counter())[tenant] += count
    return stored


def _retry(writer: Writer, batch_id: str, ids: Sequence[str], arrival_ns: int) -> list[tuple[str, str, int]]:
    """(table, tenant, rows stored or, negative, refused again)."""
    counted = f"SELECT `where`, tenant_id, uniqExact(id) FROM {TABLE} WHERE"
    this = {"batch": batch_id}
    gone = writer.read(f"{counted} gone AND gone_in = {{batch:String}} GROUP BY ALL", this)
    if not gone:
        letters = writer.read(
            f"SELECT `where`, tenant_id, id, bytes FROM {TABLE} FINAL "
            "WHERE id IN {ids:Array(String)} AND `where` IN {tables:Array(String)} ORDER BY `where`, id",
            {"ids": ids, "tables": [migration.name for migration in migrations()]},
            as_bytes=("bytes",),
        )
        if not letters:
            return []
        writer.write(batch_id, _rows([(where, content) for where, _, _, content in letters]), arrival_ns=arrival_ns)
        marks = _marks(batch_id, [(where, tenant, letter_id) for where, tenant, letter_id, _ in letters], arrival_ns)
        writer.write(f"{batch_id}:gone", {TABLE: marks}, arrival_ns=arrival_ns)
        gone = [(where, tenant, 1) for where, tenant, _, _ in letters]
    again = writer.read(f"{counted} NOT gone AND batch = {{batch:String}} GROUP BY ALL", this)
    return [
        *((where, tenant, count) for where, tenant, count in gone),
        *((where, tenant, -count) for where, tenant, count in again),
    ]


def _rows(letters: Sequence[tuple[str, bytes]]) -> Mapping[str, pa.Table]:
    """The rows in letters, by table. Those written by different versions may differ in columns."""
    by_table: dict[str, list[pa.Table]] = {}
    for where, content in letters:
        with pa.ipc.open_stream(content) as reader:
            by_table.setdefault(where, []).append(reader.read_all())
    return {
        where: pa.concat_tables(rows, promote_options="permissive").combine_chunks() for where, rows in by_table.items()
    }


def _marks(batch_id: str, letters: Sequence[tuple[str, str, str]], arrival_ns: int) -> pa.Table:
    """Rows of dead_letters that take the place of those letters. They carry no content."""
    ones = np.ones(len(letters), np.uint8)
    return pa.table(
        {
            "tenant_id": pa.array([tenant for _, tenant, _ in letters]),
            "where": pa.array([where for where, _, _ in letters]),
            "id": pa.array([letter_id for _, _, letter_id in letters]),
            "arrived_at": milliseconds(arrival_ns, len(letters)),
            "gone_in": pa.array([batch_id] * len(letters)),
            "version": pa.array(ones),
            "gone": pa.array(ones),
        }
    )
