"""What an error of the store means: wait, blame the rows, or find out."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from clew_processor.write.trouble import REFUSED, TROUBLE, Kind, fault
from shared.engine import fresh_store


def test_codes_are_the_engines():
    known = dict(
        fresh_store(tables=False)
        .client.query("SELECT toInt32(number) AS code, errorCodeToName(code) FROM numbers(2000)")
        .result_rows
    )
    assert {code: known[code] for code in TROUBLE | REFUSED} == TROUBLE | REFUSED
    assert not TROUBLE.keys() & REFUSED.keys()


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (DatabaseError("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", code=252), Kind.TROUBLE, 252),
        (DatabaseError("Code: 60. DB::Exception: no such table. (UNKNOWN_TABLE)", code=60), Kind.TROUBLE, 60),
        (DatabaseError("Code: 469. DB::Exception: violated. (VIOLATED_CONSTRAINT)", code=469), Kind.REFUSED, 469),
        (DatabaseError("Code: 49. DB::Exception: Logical error. (LOGICAL_ERROR)", code=49), Kind.UNCLEAR, 49),
        (DatabaseError("Code: 54321. DB::Exception: of a later version", code=54321), Kind.UNCLEAR, 54321),
        (DatabaseError("HTTP driver received HTTP status 500"), Kind.TROUBLE, 0),
        (DatabaseError("HTTP driver received HTTP status 502, server response: <html>"), Kind.TROUBLE, 0),
        (DatabaseError("HTTP driver received HTTP status 429"), Kind.TROUBLE, 0),
        (DatabaseError("HTTP driver received HTTP status 404"), Kind.TROUBLE, 0),
        (DatabaseError("HTTP driver received HTTP status 413"), Kind.REFUSED, 0),
        (DatabaseError("HTTP driver received HTTP status 422"), Kind.UNCLEAR, 0),
        (OperationalError("Error executing HTTP request"), Kind.TROUBLE, 0),
        (ConnectionRefusedError(111, "Connection refused"), Kind.TROUBLE, 0),
        (OSError(28, "No space left on device"), Kind.TROUBLE, 0),
        (ValueError("a bug in a driver"), Kind.UNCLEAR, 0),
    ],
)
def test_errors_are_told_apart(error: Exception, kind: Kind, code: int):
    found = fault(error)
    assert (found.kind, found.code, found.in_view) == (kind, code, False)


def test_a_message_is_the_stores_words_alone():
    text = (
        "Received ClickHouse exception, code: 469, server response: Code: 469. DB::Exception: Constraint `c` is "
        "violated. (VIOLATED_CONSTRAINT) (version 26.9.2.1 (official build)) (for url http://10.0.0.1:8123)"
    )
    assert str(fault(DatabaseError(text, code=469))) == "Constraint `c` is violated. (VIOLATED_CONSTRAINT)"
    twice = "Code: 6. DB::Exception: Code: 6. DB::Exception: Cannot parse. (CANNOT_PARSE_TEXT), Stack trace:\n0. x"
    assert str(fault(DatabaseError(twice, code=6))) == "Cannot parse. (CANNOT_PARSE_TEXT)"
    assert len(str(fault(DatabaseError("x" * 10_000, code=6)))) == 500
    assert str(fault(ValueError("half a pair \udc80"))).encode()
