"""The summary: what is compared, and how it looks."""

from __future__ import annotations

import dataclasses
import io
from decimal import Decimal
from pathlib import Path

import pytest

from clew.demo.expected import Expected
from clew.demo.processor import Ports
from clew.demo.record import Recorded, differences
from clew.demo.report import Pen, next_steps, show_check, show_next, show_runs
from clew.demo.scenarios import SCENARIOS

WANTED = Expected("planner", "success", 3, 2, 4_000, 200, 1_000, 0, Decimal("0.000548400"), 0, Decimal(0), 2, 1)


def recorded(**changes) -> Recorded:
    same = {field.name: getattr(WANTED, field.name) for field in dataclasses.fields(Expected)}
    rest = {"trace_id": "ab" * 16, "status": "ok", "steps": 3}
    return Recorded(**(same | rest | changes))


def shown(show, *args) -> str:
    stream = io.StringIO()
    show(Pen(stream), *args)
    return stream.getvalue()


def test_equal_records_have_no_differences():
    assert differences([WANTED], [recorded()]) == []


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Expected)][2:])
def test_every_compared_field_is_compared(field):
    other = getattr(WANTED, field) + 1
    found = differences([WANTED], [recorded(**{field: other})])
    assert found == [f"planner: {field} is {other} on record, {getattr(WANTED, field)} by hand"]


def test_the_ninth_decimal_of_a_cost_counts():
    cost = Decimal("0.000548401")
    assert differences([WANTED], [recorded(cost_usd=cost)]) == [
        "planner: cost_usd is 0.000548401 on record, 0.000548400 by hand"
    ]


def test_missing_double_and_foreign_runs_are_differences():
    assert differences([WANTED], []) == ["planner: 0 runs on record, 1 expected"]
    assert differences([WANTED], [recorded(), recorded()]) == ["planner: 2 runs on record, 1 expected"]
    assert differences([], [recorded(agent_name="")]) == ["(no agent): 1 runs nobody made"]


def test_the_summary_fits_eighty_columns():
    runs = [
        recorded(
            agent_name=scenario.agent,
            outcome=scenario.outcome,
            input_tokens=99_000,
            loops=1,
            loop_cost_usd=Decimal("0.123456789"),
        )
        for scenario in SCENARIOS
    ]
    text = shown(show_runs, runs) + shown(show_check, runs, [])
    text += shown(show_next, next_steps(runs[0], Ports().shifted(10), Path(".clew/demo/data"), serving=True))
    assert max(map(len, text.splitlines())) <= 80


def test_costs_are_shown_to_the_last_digit():
    assert " 0.000548400 " in shown(show_runs, [recorded()])


def test_what_differs_is_said_loudly():
    text = shown(show_check, [recorded()], ["planner: cost_usd is 1 on record, 2 by hand"])
    assert text.startswith("NOT EQUAL")
    assert "planner: cost_usd is 1 on record, 2 by hand" in text


def test_next_steps_name_the_looping_run_and_the_ports_in_use():
    commands = [command for _, command in next_steps(recorded(), Ports(5, 6, 7), Path("data"), serving=True)]
    assert commands[0].endswith(f"show {'ab' * 16} --query 127.0.0.1:7")
    assert commands[1] == "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:5"


def test_next_steps_after_the_processor_stopped_begin_with_starting_it():
    commands = [command for _, command in next_steps(recorded(), Ports(5, 6, 7), Path("data"), serving=False)]
    assert commands[0].endswith("up --data data")
    assert commands[1].endswith(f"show {'ab' * 16}")
    assert commands[2].endswith(":4317")
