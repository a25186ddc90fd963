"""Errors of the engine become the text a ClickHouse server sends."""

from __future__ import annotations

import pytest

from clew_processor.query.failure import QueryFailure

CANNOT = "Cannot modify 'x' setting in readonly mode."


@pytest.mark.parametrize(
    ("raised", "code", "name", "text"),
    [
        (f"Code: 164. DB::Exception: {CANNOT} (READONLY)", 164, "READONLY", CANNOT),
        (
            f"Code: 164. DB::Exception: Code: 164. DB::Exception: {CANNOT} (READONLY) (version 26.9.2.1). (READONLY)",
            164, "READONLY", CANNOT,
        ),
        (
            "Streaming query failed: Code: 47. DB::Exception: No identifier `a` (maybe: (B)). (UNKNOWN_IDENTIFIER)",
            47, "UNKNOWN_IDENTIFIER", "No identifier `a` (maybe: (B)).",
        ),
        (
            "Code: 107. DB::ErrnoException: Cannot open file /x: , errno: 2: while executing 'F'. (FILE_DOESNT_EXIST)",
            107, "FILE_DOESNT_EXIST", "Cannot open file /x: , errno: 2: while executing 'F'.",
        ),
        ("something else", 1002, "UNKNOWN_EXCEPTION", "something else"),
        ("", 1002, "UNKNOWN_EXCEPTION", "RuntimeError"),
    ],
)  # fmt: skip
def test_number_name_and_text_are_read_out_of_an_engine_error(raised: str, code: int, name: str, text: str) -> None:
    failure = QueryFailure.from_engine(RuntimeError(raised))

    assert (failure.code, failure.name) == (code, name)
    assert failure.text.rstrip(".") == text.rstrip(".")
    assert failure.body("26.9.2.1").decode() == (
        f"Code: {code}. DB::Exception: {text.rstrip('.')}. ({name}) (version 26.9.2.1)\n"
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [(62, 400), (60, 404), (164, 403), (497, 403), (202, 503), (159, 408), (223, 413), (48, 501), (241, 500)],
)
def test_status_tells_whose_fault_it_is(code: int, status: int) -> None:
    assert QueryFailure(code, "NAME", "text").status == status
