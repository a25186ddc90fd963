"""Dialect columns to canonical ones."""
