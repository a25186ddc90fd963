"""Rows into ClickHouse: the store, its schema, the inserts."""
