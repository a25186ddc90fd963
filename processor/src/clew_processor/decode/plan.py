"""The extraction plan: the dialects' tables compiled into the JSON the kernel is built with."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from clew_processor.dialects import CLEW, GENERIC, canon, common, dialects
from clew_processor.dialects.schema import FORMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew_processor.dialects.schema import Canon, Dialect, Op, Source, Values

_KERNEL_FORM = {"messages": "elements", "whole": "whole", "canonical": "canonical"}


@cache
def extraction_plan(*, content_refresh_s: int, max_span_bytes: int) -> str:
    """The kernel's plan for all dialects as JSON text (what stands in it: `plan.rs` of the kernel).

    Args:
        content_refresh_s: after how many seconds a content still in use is written again.
        max_span_bytes: a longer span is rejected.
    """
    plan = compiled(dialects(), canon(), common())
    return json.dumps(
        {"content_refresh_s": content_refresh_s, "max_span_bytes": max_span_bytes, "max_depth": 64} | plan
    )


def compiled(tables: Sequence[Dialect], canon: Canon, common: Values) -> dict[str, Any]:
    """The plan's part that is about dialects."""
    by_name = {table.name: table for table in tables}
    generic = [by_name[name] for name in GENERIC if name in by_name]
    first = [by_name[CLEW]] if CLEW in by_name else []
    return {
        "ops": common.ops,
        "looks_like": common.looks_like,
        "looks_like_not": common.looks_like_not,
        "columns": [
            {"name": name, "type": column.type, "keys": column.always} for name, column in canon.columns.items()
        ],
        "contents": [
            {"name": name, "form": _KERNEL_FORM[content.holds]} | content.model_dump(exclude={"holds"})
            for name, content in canon.contents.items()
        ],
        "dialects": [_dialect(table, first, generic if table.generic else [], canon, common) for table in tables],
        "logs": [{"name": table.name} | table.logs.model_dump() for table in tables if table.logs],
    }


def _dialect(
    table: Dialect, first: list[Dialect], generic: list[Dialect], canon: Canon, common: Values
) -> dict[str, Any]:
    made = table.model_dump(
        include={"name", "detect", "ignore", "op_otherwise", "sentinels"}, exclude_none=True, by_alias=True
    )
    ops = [*table.op, *(op for other in first if other is not table for op in other.op)]
    ops += [op for other in generic[:1] if other is not table for op in other.op]
    made["op"] = [_op(op, common) for op in ops]
    made["columns"] = {
        name: [_source(source) for source in sources]
        for name in canon.columns
        if (sources := _sources(name, "columns", table, first, generic))
    }
    made["contents"] = {
        name: [_source(source) | {"form": source.form or FORMS[content.holds][0]} for source in sources]
        for name, content in canon.contents.items()
        if (sources := _sources(name, "contents", table, first, generic))
    }
    return made


def _sources(name: str, part: str, table: Dialect, first: list[Dialect], generic: list[Dialect]) -> list[Source]:
    """Clew's own sources, then the dialect's, then the conventions'."""
    own = getattr(table, part).get(name)
    below = generic if own is None or own else []
    found: list[Source] = []
    for other in [
        *(each for each in first if each is not table),
        table,
        *(each for each in below if each is not table),
    ]:
        found += getattr(other, part).get(name, [])
    return found


def _op(op: Op, common: Values) -> dict[str, Any]:
    made = op.model_dump(exclude_none=True, by_alias=True)
    if op.key is not None and op.is_ is None:
        # What is already called as we do means that.
        made["values"] = {name: name for name in common.ops} | op.values
    return made


def _source(source: Source) -> dict[str, Any]:
    return source.model_dump(exclude_none=True, by_alias=True)
