"""Payloads captured from real instrumentations: what they put on the wire, and the truth about each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parents[1] / "contract" / "payloads"


LOGS = ".logs.otlp"


def files() -> list[Path]:
    """The captured files of spans of the official instrumentations, by name."""
    return sorted(path for path in PAYLOADS.glob("otel__*.otlp") if not path.name.endswith(LOGS))


def log_files() -> list[Path]:
    """All captured files of log records, by name."""
    return sorted(PAYLOADS.glob(f"*{LOGS}"))


def bodies(path: Path) -> list[bytes]:
    """The bodies of the requests in a file, in order of arrival.

    A file is a sequence of records: a 4-byte little-endian length, then that many bytes of an
    ``ExportTraceServiceRequest``, or of an ``ExportLogsServiceRequest`` where its name ends in ``.logs.otlp``.
    """
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def truth() -> dict[str, dict[str, Any]]:
    """What the scripted model server really served, by file name."""
    lines = (PAYLOADS / "truth.jsonl").read_text("utf-8").splitlines()
    return {record["file"]: record for record in map(json.loads, lines)}
