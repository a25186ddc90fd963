from __future__ import annotations

import json
from decimal import Decimal

import pytest

from clew.cli.endpoint import Endpoint
from clew.cli.errors import CliError
from clew.cli.output import write_json


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("[::1]:8123", "http://[::1]:8123"),
        ("https://clew.example/", "https://clew.example"),
    ],
)
def test_addresses(address: str, url: str):
    assert Endpoint.at(address).url == url


@pytest.mark.parametrize("address", ["", "file:///etc/passwd", "127.0.0.1:99999", "http://", "host:port"])
def test_a_wrong_address_is_a_usage_error(address: str):
    with pytest.raises(CliError, match="no address of a query endpoint") as refused:
        Endpoint.at(address)
    assert refused.value.exit_code == 2


def test_json_keeps_every_digit_of_money(capsys: pytest.CaptureFixture[str]):
    write_json({"usd": Decimal("12345678901234.000000001"), "list": [], "of": [{"a": None}], "bad": "\x1b\x9b"})
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text, parse_float=Decimal) == {
        "usd": Decimal("12345678901234.000000001"),
        "list": [],
        "of": [{"a": None}],
        "bad": "\x1b\x9b",
    }
