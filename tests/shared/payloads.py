"""Payloads captured from the official instrumentations: what they put on the wire, and the truth about each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parents[1] / "contract" / "payloads"


def files() -> list[Path]:
    """All captured files, by name."""
    return sorted(PAYLOADS.glob("*.otlp"))


def bodies(path: Path) -> list[bytes]:
    """The bodies of ``ExportTraceServiceRequest`` in a file, in order of arrival.

    A file is a sequence of records: a 4-byte little-endian length, then that many bytes.
    """
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def truth() -> dict[str, dict[str, Any]]:
    """What the scripted model server really served, by file name."""
    lines = (PAYLOADS / "truth.jsonl").read_text().splitlines()
    return {record["file"]: record for record in map(json.loads, lines)}
