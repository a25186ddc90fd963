"""What each instrumentation calls things: one YAML table a dialect, read by decode and normalise.

`schema.Dialect` says what may stand in a table. `_columns.yaml` has the canonical columns, `_values.yaml` what all
dialects have in common.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import ValidationError

from clew_processor.dialects.schema import FORMS, Canon, Dialect, Source, Table, Values, nearest
from clew_processor.errors import DialectError

if TYPE_CHECKING:
    from collections.abc import Iterable

CLEW = "clew"
"""The dialect whose columns come before those of all others."""
GENERIC = ("otel_genai", "otel_genai_1_36")
"""The dialects that fill what the span's own leaves empty, in this order."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_T = TypeVar("_T", bound=Table)


@cache
def canon() -> Canon:
    """The canonical columns and contents."""
    return parsed("_columns", _read("_columns"), Canon)


@cache
def common() -> Values:
    """What all dialects have in common."""
    return parsed("_values", _read("_values"), Values)


@cache
def dialects() -> tuple[Dialect, ...]:
    """All dialects, in the order they are asked for.

    Raises:
        DialectError: a table is wrong; the message names it and the place in it.
    """
    names = sorted(
        entry.name.removesuffix(".yaml")
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(".yaml") and not entry.name.startswith("_")
    )
    return ordered([dialect(name, _read(name)) for name in names])


def ordered(tables: Iterable[Dialect]) -> tuple[Dialect, ...]:
    """The dialects in the order they are asked for; DialectError where that is not told."""
    found = sorted(tables, key=lambda table: table.order)
    for one, other in pairwise(found):
        if one.order == other.order:
            raise DialectError(f"{one.name} and {other.name} have the same order {one.order}, each needs its own")
    return tuple(found)


def dialect(name: str, text: str) -> Dialect:
    """The table of a dialect, checked.

    Args:
        name: what its file is called.
        text: the file's text.

    Raises:
        DialectError: something in it is wrong.
    """
    table = parsed(name, text, Dialect)
    if table.name != name:
        raise DialectError(f"{name}.yaml: name is {table.name!r}, expected that of its file")
    ops = [*common().ops, ""]
    for place, op in _ops(table):
        if op not in ops:
            raise DialectError(f"{name}.yaml: {place}: {op!r} is no operation: {nearest(op, ops)}")
    columns, contents = canon().columns, canon().contents
    for column, sources in table.columns.items():
        if column not in columns:
            raise DialectError(f"{name}.yaml: columns: unknown column {column!r}: {nearest(column, list(columns))}")
        for number, source in enumerate(sources):
            if wrong := _wrong_for_column(source, columns[column].type):
                raise DialectError(f"{name}.yaml: columns.{column}.{number}: {wrong}")
    for content, sources in table.contents.items():
        if content not in contents:
            raise DialectError(
                f"{name}.yaml: contents: unknown content {content!r}: {nearest(content, list(contents))}"
            )
        forms = FORMS[contents[content].holds]
        for number, source in enumerate(sources):
            if source.form is not None and source.form not in forms:
                raise DialectError(
                    f"{name}.yaml: contents.{content}.{number}: form is {source.form!r}, expected {' or '.join(forms)}"
                )
    for column in table.values:
        if column not in columns or columns[column].type != "dict":
            known = [each for each, column in columns.items() if column.type == "dict"]
            raise DialectError(f"{name}.yaml: values: {column!r} is no column of words: {nearest(column, known)}")
    return table


def parsed(name: str, text: str, table: type[_T]) -> _T:
    """A file's text as that sort of table."""
    try:
        return table.model_validate(yaml.load(text, _Loader))  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise DialectError(f"{name}.yaml is not YAML: {error}") from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        ]
        raise DialectError(f"{name}.yaml: {'; '.join(problems)}") from error


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")


def _ops(table: Dialect) -> Iterable[tuple[str, str]]:
    """All operations a table names, and where."""
    for number, source in enumerate(table.op):
        for field in ("values", "prefixes", "suffixes"):
            yield from ((f"op.{number}.{field}", op) for op in getattr(source, field).values())
        if source.is_ is not None:
            yield f"op.{number}.is", source.is_
    yield "op_otherwise", table.op_otherwise
    for part in ("columns", "contents"):
        for column, sources in getattr(table, part).items():
            for number, source in enumerate(sources):
                yield from ((f"{part}.{column}.{number}.ops", op) for op in source.ops or ())


def _wrong_for_column(source: Source, kind: str) -> str:
    if source.form or source.role or source.parts:
        return "form, role and parts belong to contents"
    if kind in ("str", "hash64") and (source.resource or source.from_ in ("name", "scope")):
        return f"a column of type {kind} is copied on every row: what many rows share is not for it"
    if kind not in ("u64", "i64", "f64") and (source.scale is not None or source.as_ or source.nonzero):
        return f"scale, as and nonzero belong to columns of numbers, this one's type is {kind}"
    return ""
