"""The query endpoint speaks ClickHouse's HTTP interface to clickhouse-connect and to plain HTTP clients."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import lz4.frame
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from shared.query_server import query_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.query_server import QueryServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    with query_server(tmp_path_factory.mktemp("endpoint") / "store", max_query_bytes=300_000) as running:
        yield running


# clickhouse-connect


@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
def test_stock_client_reads_all_kinds_of_columns(server: QueryServer, compress: bool | str) -> None:
    with server.client(compress=compress) as client:
        result = client.query("SELECT * FROM clew.kinds ORDER BY id")
        many = client.query("SELECT number, toString(number) FROM numbers(200000)")

    first = dict(zip(result.column_names, result.result_rows[0], strict=True))
    assert first["at"].replace(tzinfo=UTC) == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert first["labels"] == {"k": "v"}
    assert first["cost"] == Decimal("0.000000001")
    assert (first["hash"], first["hashes"]) == (2**128 - 1, [1, 2])
    assert (first["level"], first["nested"], first["outcome"]) == (None, [{"a": "b"}], "deny")
    assert many.row_count == 200_000
    assert many.result_rows[-1] == (199_999, "199999")


@pytest.mark.parametrize("compress", [True, False])
def test_result_without_rows_keeps_its_columns(server: QueryServer, compress: bool) -> None:
    with server.client(compress=compress) as client:
        result = client.query("SELECT *, {x:UInt8} AS x FROM kinds WHERE id > 2", parameters={"x": 1})
        probe = client.query("SELECT id, labels FROM kinds LIMIT 0")

    assert result.result_rows == []
    assert result.column_names[:3] == ("id", "at", "labels")
    assert [kind.name for kind in result.column_types][-3:] == [
        "Array(Map(LowCardinality(String), String))", "Enum8('allow' = 1, 'deny' = 2)", "UInt8"
    ]  # fmt: skip
    assert probe.column_names == ("id", "labels")


def test_parameters_are_bound_on_the_server_whatever_they_hold(server: QueryServer) -> None:
    text = "it's a \\ and a \t and a \n, ünïcode; DROP TABLE kinds"
    with server.client() as client:
        echoed = client.query("SELECT {s:String}", parameters={"s": text}).result_rows
        picked = client.query(
            "SELECT count() FROM kinds WHERE id IN {ids:Array(UInt64)} AND at < {t:DateTime64(3)}",
            parameters={"ids": [1, 2, 3], "t": datetime(2027, 1, 1, tzinfo=UTC)},
        ).result_rows
        long = client.query("SELECT length({s:String})", parameters={"s": "x" * 60_000}).result_rows

    assert echoed == [(text,)]
    assert picked == [(2,)]
    assert long == [(60_000,)]


def test_parameters_may_come_as_a_form(server: QueryServer) -> None:
    with server.client(form_encode_query_params=True) as client:
        rows = client.query("SELECT {s:String}, name FROM kinds WHERE id = {n:UInt8}", parameters={"s": "ü", "n": 1})

    assert rows.result_rows == [("ü", "one")]


def test_arrow_and_raw_formats_come_through(server: QueryServer) -> None:
    with server.client() as client:
        table = client.query_arrow("SELECT id, name FROM kinds ORDER BY id")
        rows = json.loads(client.raw_query("SELECT count() AS n FROM kinds", fmt="JSON"))
        line = client.raw_query("SELECT 1, 'a'", fmt="CSV")

    assert table.to_pydict() == {"id": [1, 2], "name": ["one", ""]}
    assert rows["data"] == [{"n": 2}]
    assert line == b'1,"a"\n'


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_stream_arrives_in_pieces_and_whole(server: QueryServer, compress: bool | str) -> None:
    with (
        server.client(compress=compress) as client,
        client.query_column_block_stream("SELECT number FROM numbers(2000000)") as blocks,
    ):
        sizes, total = zip(*((len(block[0]), sum(block[0])) for block in blocks), strict=True)

    assert len(sizes) > 2
    assert sum(sizes) == 2_000_000
    assert sum(total) == 1_999_999 * 1_000_000


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_error_amid_a_stream_reaches_the_client(server: QueryServer, compress: bool | str) -> None:
    with (
        server.client(compress=compress) as client,
        pytest.raises(StreamFailureError, match="Value passed to 'throwIf' function is non-zero"),
        client.query_row_block_stream("SELECT throwIf(number = 2000000) FROM numbers(3000000)") as blocks,
    ):
        for _ in blocks:
            pass


def test_errors_are_those_of_clickhouse(server: QueryServer) -> None:
    with server.client() as client:
        with pytest.raises(
            DatabaseError, match=r"Code: 47. DB::Exception: Unknown expression identifier `nope`"
        ) as error:
            client.query("SELECT nope FROM kinds")
        with pytest.raises(DatabaseError, match="Cannot execute query in readonly mode"):
            client.insert("kinds", [[3]], column_names=["id"])
        with pytest.raises(DatabaseError, match="Cannot execute query in readonly mode"):
            client.command("DROP TABLE kinds")

    assert error.value.code == 47
    assert error.value.name == "UNKNOWN_IDENTIFIER"


def test_settings_the_endpoint_takes_are_writable_for_the_client(server: QueryServer) -> None:
    with server.client(settings={"max_execution_time": 7, "join_use_nulls": 1}) as client:
        rows = client.query(
            "SELECT getSetting('max_execution_time'), getSetting('join_use_nulls'), getSetting('max_result_rows')",
            settings={"max_result_rows": 9},
        ).result_rows
        readonly = {name: setting.readonly for name, setting in client.server_settings.items()}

    assert rows == [(7, True, 9)]
    assert (readonly["max_result_rows"], readonly["allow_ddl"], readonly["readonly"]) == (0, 1, 1)


def test_any_user_is_taken(server: QueryServer) -> None:
    with server.client(username="grafana", password="whatever", database="clew") as client:
        assert client.command("SELECT count() FROM kinds") == 2


def test_summary_tells_what_was_read(server: QueryServer) -> None:
    with server.client() as client:
        result = client.query("SELECT name FROM kinds WHERE id = 1")

    assert int(result.summary["read_rows"]) >= 1
    assert result.summary["result_rows"] == "1"
    assert result.query_id


# plain HTTP


@pytest.mark.parametrize("path", ["/", "/ping"])
def test_liveness_is_answered_as_clickhouse_does(server: QueryServer, path: str) -> None:
    answer = server.ask(method="GET", path=path)

    assert (answer.status, answer.data) == (200, b"Ok.\n")


@pytest.mark.parametrize(
    ("sql", "fields", "expected"),
    [
        ("", {"query": "SELECT 1"}, b"1\n"),
        ("SELECT 1", {}, b"1\n"),
        (", 2", {"query": "SELECT 1"}, b"1\t2\n"),
        ("SELECT {x:UInt8} + {y:UInt8}", {"param_x": 1, "param_y": 2}, b"3\n"),
        ("SELECT 1 AS x", {"default_format": "JSONEachRow"}, b'{"x":1}\n'),
        ("SELECT 1 AS x FORMAT CSVWithNames", {"default_format": "JSONEachRow"}, b'"x"\n1\n'),
        ("SELECT 1 AS x format jsoneachrow", {}, b'{"x":1}\n'),
        ("SELECT count() FROM kinds", {"database": "clew"}, b"2\n"),
        ("SELECT count() FROM kinds", {"database": "default"}, b"2\n"),
        ("SELECT toDateTime(0)", {"session_timezone": "Asia/Tokyo"}, b"1970-01-01 09:00:00\n"),
        (
            "SELECT 1",
            {"wait_end_of_query": 1, "session_id": "a", "user": "u", "password": "p"},
            b"1\n",
        ),
        ("SELECT number FROM numbers(5)", {"limit": 2, "offset": 1}, b"1\n2\n"),
    ],
)
def test_query_and_its_settings_may_stand_in_address_and_body(
    server: QueryServer, sql: str, fields: dict[str, object], expected: bytes
) -> None:
    answer = server.ask(sql, **fields)

    assert (answer.status, answer.data) == (200, expected)


def test_get_reads_too(server: QueryServer) -> None:
    answer = server.ask(method="GET", query="SELECT count() FROM kinds FORMAT JSONCompact", query_id="mine")

    assert json.loads(answer.data)["data"] == [[2]] or json.loads(answer.data)["data"] == [["2"]]
    assert answer.headers["X-ClickHouse-Format"] == "JSONCompact"
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"] == "1"


def test_format_and_database_may_stand_in_headers(server: QueryServer) -> None:
    headers = {"X-ClickHouse-Format": "JSONEachRow", "X-ClickHouse-Database": "clew"}

    assert server.ask("SELECT name FROM kinds WHERE id = 1", headers=headers).data == b'{"name":"one"}\n'


@pytest.mark.parametrize(
    ("sql", "status", "code", "text"),
    [
        ("SELECT 1 +", 400, "62", "Syntax error: failed at position 11 (end of query)"),
        ("SELECT 1\nFROM kinds WHERE )", 400, "62", "failed at position 27 ()) (line 2, col 18)"),
        ("SELECT nope()", 404, "46", "Function with name `nope` does not exist"),
        ("SELECT 1 FROM nope", 404, "60", "Unknown table expression identifier 'nope'"),
        ("SELECT {x:UInt8}", 400, "456", "Substitution `x` is not set"),
        ("SELECT 1 FORMAT Nope", 404, "73", "Unknown format Nope"),
        ("DROP TABLE kinds", 403, "164", "Cannot execute query in readonly mode"),
        ("SELECT throwIf(1, 'by hand')", 500, "395", "by hand"),
    ],
)
def test_failure_has_status_code_and_text_of_clickhouse(
    server: QueryServer, sql: str, status: int, code: str, text: str
) -> None:
    answer = server.ask(sql)

    body = answer.data.decode()
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ")
    assert text in body
    assert body.count("DB::Exception") == 1
    assert body.count("(version ") == 1
    assert body.endswith(")\n")


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("lz4", lz4.frame.decompress),
        ("br;q=1, gzip;q=0.5", gzip.decompress),
    ],
)
def test_answer_is_compressed_only_when_asked(server: QueryServer, encoding: str, decode: object) -> None:
    sql = "SELECT 'the same again' FROM numbers(5000)"
    headers = {"Accept-Encoding": encoding}

    plain = server.ask(sql, headers=headers)
    packed = server.ask(sql, headers=headers, enable_http_compression=1)

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] in encoding
    assert len(packed.data) < len(plain.data) / 2
    assert decode(packed.data) == plain.data  # type: ignore[operator]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("lz4", lz4.frame.compress)],
)
def test_compressed_request_is_inflated_up_to_the_limit(server: QueryServer, encoding: str, encode: object) -> None:
    headers = {"Content-Encoding": encoding}

    good = server.ask(encode(b"SELECT 1"), headers=headers)  # type: ignore[operator]
    bomb = server.ask(encode(b" " * 50_000_000), headers=headers)  # type: ignore[operator]
    broken = server.ask(b"SELECT 1", headers=headers)

    assert good.data == b"1\n"
    assert (bomb.status, bomb.headers["X-ClickHouse-Exception-Code"]) == (413, "223")
    assert (broken.status, broken.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


@pytest.mark.parametrize(
    ("sql", "fields", "headers", "status", "text"),
    [
        (b"SELECT '\xff'", {}, {}, 400, b"not UTF-8"),
        (b"SELECT 1", {}, {"Content-Encoding": "snappy"}, 400, b"'snappy' is not known"),
        (b"SELECT 1", {"decompress": 1}, {}, 501, b"decompress=1"),
        (b"SELECT 1", {"client_protocol_version": "new"}, {}, 400, b"client_protocol_version must be a number"),
        (b"x" * 300_001, {}, {}, 413, b"longer than 300000 bytes"),
        (b"", {}, {}, 400, b"Empty query"),
    ],
)
def test_request_that_makes_no_sense_is_refused_with_the_reason(
    server: QueryServer, sql: bytes, fields: dict[str, object], headers: dict[str, str], status: int, text: bytes
) -> None:
    answer = server.ask(sql, headers=headers, **fields)

    assert answer.status == status
    assert text in answer.data


def test_external_tables_are_refused_by_name(server: QueryServer) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1 FROM x\r\n'
        b'--b\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\n1\r\n--b--\r\n'
    )
    answer = server.ask(body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert answer.status == 501
    assert b"External tables are not served here: x" in answer.data


def test_form_of_plain_http_keeps_every_byte_of_the_query(server: QueryServer) -> None:
    body = (
        b"--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {p:String},\n  '\xc3\xbc'\r\n"
        b'--b\r\nContent-Disposition: form-data; name="param_p"\r\n\r\na=b&c\r\n--b--\r\n'
    )
    answer = server.ask(body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert answer.data.decode() == "a=b&c\tü\n"


def test_statement_without_rows_has_an_empty_body_in_text_formats(server: QueryServer) -> None:
    answer = server.ask("SELECT 1 WHERE 0")

    assert (answer.status, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")
