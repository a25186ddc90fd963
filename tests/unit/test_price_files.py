"""The files of prices: read at the start, looked at again, and what is wrong with them."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from genai_prices.data import providers

from clew_processor.config import PriceSettings
from clew_processor.enrich.pricing import PriceBook
from clew_processor.errors import ConfigError
from clew_processor.price_files import PriceFiles, PriceKeeper
from clew_processor.prices import Prices
from shared.prices import price

M = 1_000_000
NEWER = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": "openai",
        "models": [{"id": "gpt-9", "match": {"equals": "gpt-9"}, "prices": {"input_mtok": 7, "output_mtok": 9}}],
    }
]


def own(amount: float, model: str = "mine") -> str:
    return json.dumps({"models": [{"model": model, "prices": {"input": amount}}]})


@pytest.fixture
def file(tmp_path):
    return tmp_path / "prices.yaml"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(NEWER))
    return path


def files(file="", data=""):
    return PriceFiles(PriceSettings(file=str(file), data=str(data)))


def test_without_files_the_packaged_list_counts():
    read = files()
    assert read.book.version == PriceBook().version == read.prices.version
    assert (read.prices.own, read.prices.data) == ("", b"")


def test_what_was_read_can_be_made_again_from_what_is_spooled(file, data):
    file.write_text(own(2))
    read = files(file, data)
    again = PriceBook(Prices.from_bytes(read.prices.to_bytes()))
    assert again.version == read.book.version == read.prices.version
    assert price(again, "x", "mine", prompt=M) == 2 * 10**9
    assert price(again, "openai", "gpt-9", prompt=M) == 7 * 10**9
    assert price(again, "openai", "gpt-4o", prompt=M) is None


def test_a_newer_list_has_its_own_version(data):
    version = files(data=data).book.version
    assert version.startswith("genai-prices file ")
    data.write_text(json.dumps([*NEWER, {"id": "b", "name": "B", "api_pattern": "b", "models": []}]))
    assert files(data=data).book.version not in (version, PriceBook().version)


@pytest.mark.parametrize(
    ("key", "content", "says"),
    [
        ("file", b"models: [{model: a, prices: {input: -1}}]", ["prices.file", "models[0].prices[0].input", "-1"]),
        ("file", b"models: [{model: a, price: 1}]", ["prices.file", "did you mean 'prices'"]),
        ("file", b"\xff\xfe", ["prices.file", "UTF-8"]),
        ("file", b"#" * (4 * 2**20 + 1), ["prices.file", "larger than 4194304 bytes"]),
        ("data", b"{}", ["prices.data", "expected a list of providers"]),
        ("data", b"[{", ["prices.data", "not a price list"]),
        ("data", b'[{"id": 1}]', ["prices.data", "not a price list"]),
    ],
)
def test_a_wrong_file_is_told_by_its_setting(tmp_path, key, content, says):
    path = tmp_path / "prices"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        files(**{key: path})
    assert all(part in str(error.value) for part in [*says, str(path)]), str(error.value)


@pytest.mark.parametrize("key", ["file", "data"])
def test_a_file_that_is_not_there_is_told_by_its_setting(tmp_path, key):
    with pytest.raises(ConfigError, match=rf"prices.{key}: cannot read .*nowhere: No such file"):
        files(**{key: tmp_path / "nowhere"})


def test_a_changed_file_is_read_again(file):
    file.write_text(own(2))
    read = files(file)
    before = read.book
    read.look()
    assert read.book is before
    file.write_text(own(30))
    read.look()
    assert price(read.book, "x", "mine", prompt=M) == 30 * 10**9
    assert read.prices.own == own(30)


def test_a_change_that_says_the_same_is_no_other_price(file):
    file.write_text(own(2))
    read = files(file)
    before = read.book
    file.write_text("# a comment\n" + own(2))
    read.look()
    assert read.book is before


def test_a_file_that_becomes_wrong_is_logged_once_and_the_prices_before_stay(file, caplog):
    file.write_text(own(2))
    read = files(file)
    file.write_text(own(-1))
    for _ in range(3):
        read.look()
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "-1" in line
    assert "stay in force" in line
    assert price(read.book, "x", "mine", prompt=M) == 2 * 10**9
    file.unlink()
    read.look()
    file.write_text(own(5))
    read.look()
    assert price(read.book, "x", "mine", prompt=M) == 5 * 10**9


def test_new_prices_are_announced_until_they_are_taken(file):
    file.write_text(own(2))
    told: list[bytes] = []

    async def announce(prices: bytes) -> bool:
        told.append(prices)
        return len(told) > 1

    async def looks() -> list[int | None]:
        keeper = PriceKeeper(files(file), announce)
        costs = [price(await keeper.look(), "x", "mine", prompt=M)]
        file.write_text(own(30))
        for _ in range(3):
            costs.append(price(await keeper.look(), "x", "mine", prompt=M))  # noqa: PERF401 - in this order
        return costs

    assert asyncio.run(looks()) == [2 * 10**9, 2 * 10**9, 30 * 10**9, 30 * 10**9]
    assert [Prices.from_bytes(prices).own for prices in told] == [own(30)] * 2


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"own": "", "data": "%%%", "version": ""}', b"\x00"])
def test_prices_of_another_form_are_refused(content):
    with pytest.raises(ValueError, match="another version"):
        Prices.from_bytes(content)


def test_the_packaged_list_has_no_part_in_a_newer_one():
    assert len(providers) > 10
    prices = PriceBook(Prices.of("", json.dumps(NEWER).encode()))
    assert prices.context_window("openai", "gpt-4o") is None
