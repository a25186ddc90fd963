"""Statements that make a clew store of the real tables, for `query_server`."""

from __future__ import annotations

from pathlib import Path
from string import Template

SQL_DIR = Path(__file__).parents[2] / "processor" / "sql"


def schema(*, days: int = 36500) -> list[str]:
    """Create every table and view of ``processor/sql`` in database ``clew``, which becomes the current one.

    Args:
        days: how long rows are kept. Rows of fixed dates must not expire while a test looks at them, and the sum has to
            stay within what ClickHouse's DateTime can hold (it wraps every 136 years).
    """
    kept = ("spans_ttl_days", "content_ttl_days", "runs_ttl_days", "logs_ttl_days")
    settings = {"database": "clew"} | dict.fromkeys(kept, str(days))
    files = sorted(SQL_DIR.glob("*.sql"))
    return [
        "CREATE DATABASE IF NOT EXISTS clew",
        "USE clew",
        *(Template(f.read_text()).substitute(settings) for f in files),
    ]
