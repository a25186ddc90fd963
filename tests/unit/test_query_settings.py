"""Clients may lower limits and shape the output; every other setting is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from clew_processor.query.failure import QueryFailure
from clew_processor.query.settings import QuerySettings, engine_settings, row_filters, set_statement, writable

LIMITS = QuerySettings(max_execution_time_s=30, max_result_rows=1000, max_result_bytes=0, max_threads=2)


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ({}, "max_execution_time", "30.000"),
        ({"max_execution_time": "65"}, "max_execution_time", "30.000"),
        ({"max_execution_time": "0"}, "max_execution_time", "30.000"),
        ({"max_execution_time": "0.5"}, "max_execution_time", "0.500"),
        ({"max_result_rows": "DEFAULT"}, "max_result_rows", "1000"),
        ({"max_result_rows": "10"}, "max_result_rows", "10"),
        ({"max_result_bytes": "10"}, "max_result_bytes", "10"),
        ({}, "max_result_bytes", "0"),
        ({"max_threads": "64"}, "max_threads", "2"),
        ({"max_memory_usage": "1e18"}, "max_memory_usage", str(LIMITS.max_memory_bytes)),
        ({"output_format_json_quote_64bit_integers": "1"}, "output_format_json_quote_64bit_integers", "1"),
    ],
)
def test_stricter_of_two_bounds_holds(asked: dict[str, str], name: str, value: str) -> None:
    assert engine_settings(LIMITS, asked)[name] == value


def test_whole_results_have_a_bound_of_their_own() -> None:
    limits = QuerySettings(max_result_bytes=1000, max_buffered_bytes=100)

    assert engine_settings(limits, {}, buffered=False)["max_result_bytes"] == "1000"
    assert engine_settings(limits, {}, buffered=True)["max_result_bytes"] == "100"
    assert engine_settings(limits, {"max_result_bytes": "10"}, buffered=True)["max_result_bytes"] == "10"


@pytest.mark.parametrize(
    "name",
    ["allow_ddl", "readonly", "output_format_schema", "format_schema_path", "dialect", "implicit_select", "profile",
     "allow_introspection_functions", "additional_result_filter", "s3_max_redirects", "no_such_setting"],
)  # fmt: skip
def test_other_settings_are_refused(name: str) -> None:
    with pytest.raises(QueryFailure, match=r"Code: 164\. DB::Exception: Cannot modify") as failure:
        engine_settings(LIMITS, {name: "0"})

    assert failure.value.status == 403
    assert not writable(name)


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "", "1 s"])
def test_limit_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(QueryFailure, match="max_execution_time takes a number"):
        engine_settings(LIMITS, {"max_execution_time": value})


def test_transport_settings_do_not_reach_the_engine() -> None:
    asked = {"readonly": "1", "session_id": "x", "log_comment": "x", "compress": "1"}

    assert engine_settings(LIMITS, asked).keys() == engine_settings(LIMITS, {}).keys()


def test_values_are_quoted_into_one_statement() -> None:
    assert set_statement({"a": "it's", "b": "1"}) == "SET a = 'it\\'s', b = '1'"
    with pytest.raises(QueryFailure, match="Unknown setting"):
        set_statement({"a = 1, readonly": "0"})


def test_row_filters_are_read_or_refused() -> None:
    assert row_filters({"additional_table_filters": "{'runs': 'errors > 0'}"}) == {"runs": "errors > 0"}
    assert row_filters({}) == {}
    with pytest.raises(QueryFailure, match="must be a map of strings"):
        row_filters({"additional_table_filters": "{'runs': 1}"})


def test_unknown_or_impossible_bound_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_exec"):
        QuerySettings.model_validate({"max_exec": 1})
    with pytest.raises(ValidationError, match="max_concurrent"):
        QuerySettings(max_concurrent=0)
