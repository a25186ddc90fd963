"""Telemetry set up by a vendor's own package, by name; each sends to the recorder."""

from __future__ import annotations

import os

import harness


def otel() -> None:
    harness.set_up_otel()
