"""The query endpoint: ClickHouse's HTTP interface, read-only, over the store."""

from __future__ import annotations

from clew_processor.query.app import query_app
from clew_processor.query.passthrough import passthrough_app
from clew_processor.query.settings import QuerySettings

__all__ = ["QuerySettings", "passthrough_app", "query_app"]
