"""The embedded engine of this test process: one folder (it takes no second), a fresh database for whoever asks.

Tests that start a processor or an endpoint give it a process and a folder of its own instead.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from clew_processor.write.schema import Retention, apply_schema
from clew_processor.write.store import Store

#: Rows of any date a test makes up stay; DateTime ends in 2106.
KEPT = Retention(spans_days=10_000, runs_days=10_000, content_days=10_000, logs_days=10_000)

_numbers = itertools.count(1)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="clew-engine-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def fresh_store(*, tables: bool = True) -> Store:
    """A store on a database of its own.

    Args:
        tables: With the processor's tables, else empty.
    """
    os.environ["TZ"] = "UTC"  # the engine's default zone, read when it is loaded
    import clickhouse_connect

    name, dsn = f"test_{next(_numbers)}", f"chdb://{_folder()}"
    with clickhouse_connect.get_client(dsn=dsn) as client:
        client.command(f"CREATE DATABASE {name}")
    store = Store(clickhouse_connect.get_client(dsn=dsn, database=name), path=_folder(), database=name)
    if tables:
        apply_schema(store.client, name, KEPT)
    return store
