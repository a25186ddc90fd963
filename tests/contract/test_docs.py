"""docs/settings.md names every setting, with the default that is in force; docs/dialects.md every dialect."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from clew._settings import VARIABLES
from clew_processor.config import SDK_VARIABLES, Settings, known_keys
from clew_processor.dialects import dialects
from clew_processor.dialects.schema import Dialect

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "settings.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+?) \|", PAGE, re.MULTILINE))
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def default(key: str) -> object:
    value: object = Settings(_env_file=None)
    for part in key.split("."):
        value = getattr(value, part)
    return value


LEAVES = [key for key in known_keys() if not isinstance(default(key), BaseModel)]


@pytest.mark.parametrize("key", LEAVES)
def test_every_setting_is_documented_with_its_default(key):
    written = ROWS[key].strip("`")
    value = default(key)
    if written == "half of the cores":
        written = str(max(1, (os.cpu_count() or 2) // 2))
    number, _, unit = written.partition(" ")
    if unit in UNITS:
        assert value == int(number) * UNITS[unit]
    elif isinstance(value, (int, float)):
        assert value == float(written)
    else:
        assert str(value) == ("" if written == "empty" else written)


def test_no_setting_is_documented_that_is_not_there():
    assert set(ROWS) - set(VARIABLES) == set(LEAVES)


def test_every_variable_of_the_sdk_is_documented_and_left_alone_by_the_processor():
    assert set(ROWS) & set(VARIABLES) == set(VARIABLES) == SDK_VARIABLES


def test_every_dialect_is_documented_and_no_other():
    page = (DOCS / "dialects.md").read_text("utf-8")
    named = [
        name for cell in re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
    assert sorted(named) == sorted(table.name for table in dialects())


def test_the_documented_example_of_a_dialect_is_one():
    page = (DOCS / "dialects.md").read_text("utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert Dialect.model_validate(yaml.safe_load(example)).name == "example"
