"""What a query may use, and which of ClickHouse's settings a client may set."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from clew_processor.query import lexer
from clew_processor.query.failure import QueryFailure, bad_arguments, read_only

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW_FILTERS = "additional_table_filters"

#: Engine setting -> the field of QuerySettings that bounds it. A client may lower these, never raise them.
_BOUNDED = {
    "max_execution_time": "max_execution_time_s",
    "max_result_rows": "max_result_rows",
    "max_result_bytes": "max_result_bytes",
    "max_memory_usage": "max_memory_bytes",
    "max_rows_to_read": "max_rows_to_read",
    "max_bytes_to_read": "max_bytes_to_read",
    "max_threads": "max_threads",
    "max_ast_elements": "max_ast_elements",
}

#: Settings that only shape the answer. ``output_format_schema`` names a file to write and is left out.
_FREE = re.compile(
    r"output_format_(?!schema$)\w+|format_(csv|tsv|custom|binary)_\w+|date_time_(in|out)put_format"
    r"|join_use_nulls|group_by_use_nulls|aggregate_functions_null_for_empty|union_default_mode|extremes|totals_mode"
    r"|final|session_timezone|prefer_column_name_to_alias|cast_string_to_dynamic_use_inference|max_block_size"
    r"|limit|offset|(result|timeout|read)_overflow_mode"
)

#: Settings of the transport: this endpoint does what they ask for anyway, or needs no asking.
_IGNORED = frozenset(
    {
        "buffer_size", "cancel_http_readonly_queries_on_client_close", "http_headers_progress_interval_ms",
        "http_zlib_compression_level", "log_comment", "log_queries", "network_compression_method",
        "network_zstd_compression_level", "quota_key", "role", "send_progress_in_http_headers", "session_check",
        "session_id", "session_timeout", "stacktrace",
    }
)  # fmt: skip

#: Settings of the transport that are read elsewhere in this package.
TRANSPORT = frozenset(
    {
        "client_protocol_version", "compress", "database", "decompress", "default_format", "enable_http_compression",
        "password", "query", "query_id", "user", "wait_end_of_query",
    }
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z_]\w*")


def _half_of_the_cores() -> int:
    return max(1, (os.cpu_count() or 2) // 2)


class QuerySettings(BaseModel):
    """Bounds of one query and of all of them together. 0 means no bound where ClickHouse has it so.

    Attributes:
        max_execution_time_s: seconds the engine may work on one query.
        max_result_rows: rows of one result.
        max_result_bytes: bytes of one result, uncompressed, where the format can be streamed.
        max_buffered_bytes: bytes of one result in a format that has to be whole before it is sent (JSON, Parquet...).
        max_memory_bytes: memory of one query; such a whole result is part of it.
        max_rows_to_read: rows one query may read from tables.
        max_bytes_to_read: bytes one query may read from tables.
        max_threads: threads of the engine for one query; by default half of the cores, so that writing goes on.
        max_query_bytes: length of a statement, parameters and form included, after decompression.
        max_ast_elements: nodes of a statement's syntax tree.
        max_concurrent: queries running at once.
        queue_timeout_s: seconds a further query waits for its turn before it is refused with code 202.
        send_timeout_s: seconds a client may take nothing of a result before it is given up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_execution_time_s: float = Field(default=30, ge=0)
    max_result_rows: int = Field(default=10_000_000, ge=0)
    max_result_bytes: int = Field(default=1 << 30, ge=0)
    max_buffered_bytes: int = Field(default=256 << 20, gt=0)
    max_memory_bytes: int = Field(default=1 << 30, gt=0)
    max_rows_to_read: int = Field(default=2_000_000_000, ge=0)
    max_bytes_to_read: int = Field(default=100 << 30, ge=0)
    max_threads: int = Field(default_factory=_half_of_the_cores, gt=0)
    max_query_bytes: int = Field(default=1 << 20, gt=0)
    max_ast_elements: int = Field(default=50_000, gt=0)
    max_concurrent: int = Field(default=8, gt=0)
    queue_timeout_s: float = Field(default=10, ge=0)
    send_timeout_s: float = Field(default=60, gt=0)


def writable(name: str) -> bool:
    """Whether a client may set this setting."""
    known = name in _BOUNDED or name in _IGNORED or name in TRANSPORT or name == ROW_FILTERS
    return known or _FREE.fullmatch(name) is not None


def engine_settings(limits: QuerySettings, asked: Mapping[str, str], *, buffered: bool = False) -> dict[str, str]:
    """The settings a query runs with: what the client asked for, within the limits, and the limits.

    Args:
        limits: the bounds.
        asked: setting -> value as the client sent it, in the address or in a SETTINGS clause.
        buffered: the result has to be held in memory as a whole.

    Returns:
        Engine setting -> value, the row filters left out.

    Raises:
        QueryFailure: a setting that may not be changed (164), or a value that is no number where one is needed (36).
    """
    chosen = {}
    for name, value in asked.items():
        if name == "readonly" and value in ("1", "2"):
            continue  # data sources ask for it; what holds here is stricter
        if not writable(name):
            raise read_only(
                f"Cannot modify '{name}' setting in readonly mode. The query endpoint lets clients change limits "
                "(downwards), output formats and a few others"
            )
        if name not in _BOUNDED and name not in _IGNORED and name not in TRANSPORT and name != ROW_FILTERS:
            chosen[name] = value
    for name, field in _BOUNDED.items():
        bound = float(getattr(limits, field))
        if name == "max_result_bytes" and buffered:
            bound = min(bound or limits.max_buffered_bytes, limits.max_buffered_bytes)
        # max_execution_time takes fractions, in a plain notation; the others take whole numbers.
        lowered = _lower(name, asked.get(name), bound)
        chosen[name] = f"{lowered:.3f}" if name == "max_execution_time" else str(int(lowered))
    return chosen


def row_filters(asked: Mapping[str, str]) -> dict[str, str]:
    """Table -> condition, from the ``additional_table_filters`` a dashboard's ad-hoc filters ask for.

    Raises:
        QueryFailure: the value is no map of strings (36).
    """
    text = asked.get(ROW_FILTERS)
    if not text:
        return {}
    filters = lexer.string_map(text)
    if filters is None:
        raise bad_arguments(f"{ROW_FILTERS} must be a map of strings, as in {{'clew.runs': 'errors > 0'}}")
    return filters


def set_statement(chosen: Mapping[str, str]) -> str:
    """One SET statement for all of them.

    Raises:
        QueryFailure: a name that is no identifier (115).
    """
    for name in chosen:
        if not _NAME.fullmatch(name):
            raise QueryFailure(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    return "SET " + ", ".join(f"{name} = {lexer.quote(value)}" for name, value in chosen.items())


def _lower(name: str, asked: str | None, bound: float) -> float:
    """The stricter of two bounds, 0 being none."""
    if asked is None or asked.upper() == "DEFAULT":
        return bound
    try:
        wanted = float(asked)
    except ValueError:
        raise bad_arguments(f"Setting {name} takes a number, not {asked!r}") from None
    if not wanted >= 0:
        raise bad_arguments(f"Setting {name} takes a number of 0 or more, not {asked!r}")
    return min(wanted or bound, bound or wanted)
