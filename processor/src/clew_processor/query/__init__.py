"""The query endpoint: ClickHouse's HTTP interface, read-only, over the store."""
