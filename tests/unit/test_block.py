"""Inserts as they are sent: the statement, the rows, and how much smaller they get."""

from __future__ import annotations

import random

import lz4.frame
import pyarrow as pa
import pytest

from clew_processor.write import block
from shared.payloads import PAYLOADS, bodies

ROWS = pa.table({"a": pa.array([1, 2]), "odd `name\\": pa.array(["x", "y"]).dictionary_encode()})


def test_a_server_gets_one_frame_with_the_statement_before_the_rows():
    insert = block.compressed("`clew`.`t`", ROWS)
    assert insert["compression"] == "lz4"
    statement, _, stream = lz4.frame.decompress(insert["insert_block"]).partition(b"\n")
    assert statement.strip().decode() == r"INSERT INTO `clew`.`t` (`a`, `odd \`name\\`) FORMAT ArrowStream"
    assert pa.ipc.open_stream(stream).read_all().equals(ROWS)


def test_rows_begin_where_arrow_wants_its_columns_aligned():
    for size in range(1, 130):
        body = lz4.frame.decompress(block.compressed("t" * size, ROWS)["insert_block"])
        assert (body.index(b"\n") + 1) % 64 == 0


def test_a_large_insert_is_made_while_it_is_sent():
    texts = [f"{number:064}" * (1 + number % 7) for number in range(10_000)]
    rows = pa.table({"short": pa.array(range(10_000)), "long": pa.array(texts), "few": ROWS["a"].take([0] * 10_000)})
    frame = block.compressed("t", rows)["insert_block"]
    first, again = list(frame), list(frame)
    assert len(first) > 3
    assert first == again  # the client begins anew where it finds no connection
    _, _, stream = lz4.frame.decompress(b"".join(first)).partition(b"\n")
    assert pa.ipc.open_stream(stream).read_all().equals(rows)


def test_the_embedded_store_gets_the_rows_as_they_are():
    insert = block.plain("`clew`.`t`", ROWS)
    assert (insert["table"], insert["column_names"], insert["fmt"]) == ("`clew`.`t`", ROWS.column_names, "ArrowStream")
    assert pa.ipc.open_stream(insert["insert_block"]).read_all().equals(ROWS)


def test_recorded_requests_get_half_as_large_in_small_inserts_and_in_large_ones():
    requests = [body for path in sorted(PAYLOADS.glob("otel__*.otlp")) for body in bodies(path)]
    for times in (1, 20):
        rows = pa.table({"content": requests * times})
        sent = block.compressed("t", rows)["insert_block"]
        assert isinstance(sent, bytes) == (times == 1)
        assert len(b"".join([sent] if isinstance(sent, bytes) else sent)) < rows.nbytes / 2


def test_less_effort_goes_into_what_gets_hardly_smaller():
    words = random.Random(1).choices(range(2000), k=200_000)
    hard = pa.table(
        {"content": [" ".join(map(str, words[start : start + 200])) for start in range(0, len(words), 200)]}
    )
    easy = pa.table({"content": ["the same again and again " * 20] * 2000})
    for rows, effort in ((hard, -40), (easy, -20)):
        plain = lz4.frame.decompress(b"".join(block.compressed("t", rows)["insert_block"]))
        size = len(lz4.frame.compress(plain, compression_level=effort, block_size=4, block_linked=False))
        assert sum(map(len, block.compressed("t", rows)["insert_block"])) == pytest.approx(size, rel=0.02)
