"""Statements that make a clew store of the real tables, for `query_server`."""

from __future__ import annotations

from pathlib import Path
from string import Template

SQL_DIR = Path(__file__).parents[2] / "processor" / "sql"

#: Rows of the tests are old; none may expire while a test looks.
SETTINGS = {"database": "clew", "spans_ttl_days": "10000", "content_ttl_days": "10000", "runs_ttl_days": "10000"}


def schema() -> list[str]:
    """Create every table and view of ``processor/sql`` in database ``clew``, which becomes the current one."""
    files = sorted(SQL_DIR.glob("*.sql"))
    return [
        "CREATE DATABASE IF NOT EXISTS clew",
        "USE clew",
        *(Template(f.read_text()).substitute(SETTINGS) for f in files),
    ]
