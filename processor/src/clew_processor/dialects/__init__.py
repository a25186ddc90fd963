"""What each instrumentation calls things: one YAML table a dialect, read by decode and normalise."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml


@cache
def dialect_table(name: str) -> dict[str, Any]:
    """The parsed data file `<name>.yaml` of this package."""
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table
