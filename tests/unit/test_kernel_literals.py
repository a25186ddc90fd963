"""Values inside attributes that hold JSON, or what Python's ``str`` makes of a mapping."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.kernel import decode, decoder, values
from shared.otlp import request, span

USAGE = {"input": 811, "details": {"cached": [3, 4], "rate": 0.5}, "tier": "it's", "final": True, "none": None}


def look(text: Any, *path: str | int, kind: str = "str") -> Any:
    kernel = decoder(
        columns=[{"name": "found", "type": kind}],
        dialects=[
            {
                "name": "d",
                "detect": [{"attribute": "usage"}],
                "columns": {"found": [{"key": "usage", "path": list(path)}]},
            }
        ],
    )
    return values(decode(kernel, request(span(attributes={"usage": text}))), "found")[0]


SPELLINGS = {
    "JSON": json.dumps(USAGE),
    "JSON in a string": json.dumps(json.dumps(USAGE)),
    "JSON in a string in a string": json.dumps(json.dumps(json.dumps(USAGE))),
    "bytes": json.dumps(USAGE).encode(),
    "Python": str(USAGE),
    "Python in a JSON string": json.dumps(str(USAGE)),
    "an object's representation": (
        'Usage(input=811, details=Details(cached=[3, 4], rate=0.5), tier="it\'s", final=True, none=None)'
    ),
    "structured": USAGE,
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_value_is_found_by_its_path_however_it_is_spelled(text: Any):
    assert look(text, "input", kind="u64") == 811
    assert look(text, "details", "cached", 1, kind="i64") == 4
    assert look(text, "details", "cached", -1, kind="i64") == 4
    assert look(text, "details", "rate", kind="f64") == 0.5
    assert look(text, "tier") == "it's"
    assert look(text, "final", kind="bool") is True
    for absent in (["none"], ["other"], ["details", "cached", 2], ["tier", "x"], ["input", 0]):
        assert look(text, *absent) is None


def test_a_mapping_may_hold_another_as_text():
    assert look(json.dumps({"usage": str(USAGE)}), "usage", "details", "cached", 0, kind="u64") == 3


@pytest.mark.parametrize("text", ["", "None", "{'input': 1", "{'input'}", "input=1", "<Usage input=1>", "'input'"])
def test_where_there_is_no_such_value_nothing_is_found(text: str):
    assert look(text, "input") is None
