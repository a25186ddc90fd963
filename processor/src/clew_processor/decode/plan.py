"""The extraction plan: a dialect table compiled into the JSON the kernel is built with."""

from __future__ import annotations

import json

from clew_processor.dialects import dialect_table


def extraction_plan(dialect: str, *, content_refresh_s: int, max_span_bytes: int) -> str:
    """The kernel's plan for a dialect as JSON text (fields: see `clew_kernel.pyi`).

    Args:
        dialect: name of its table in `clew_processor.dialects`.
        content_refresh_s: after how many seconds a content still in use is written again.
        max_span_bytes: a longer span is rejected.
    """
    table = dialect_table(dialect)
    return json.dumps(
        {
            "content_refresh_s": content_refresh_s,
            "max_span_bytes": max_span_bytes,
            "max_depth": 64,
            "columns": [{"name": name, "from": "span", **spec} for name, spec in table["columns"].items()],
            "contents": [{"name": name, "calls": False, **spec} for name, spec in table["contents"].items()],
        }
    )
