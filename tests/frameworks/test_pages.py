"""The example of every library's page runs as it stands there, and is recorded as one run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from frameworks.environments import DEV, HERE, python_of, table
from frameworks.run import libraries, replayed, run_file, total
from frameworks.test_libraries import COMPLAINTS

if TYPE_CHECKING:
    from pathlib import Path

PAGES = HERE.parents[1] / "docs" / "frameworks"
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Any]:
    return [
        pytest.param(name, row, id=name, marks=() if row["env"] == DEV else pytest.mark.frameworks)
        for name, row in table()["page"].items()
    ]


def test_every_library_has_a_page_that_is_in_the_index():
    index = (PAGES / "README.md").read_text("utf-8")
    there = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert there == set(table()["page"]) == {library.row["page"] for library in libraries()}
    assert there == set(re.findall(r"\]\(([\w-]+)\.md\)", index))


@pytest.mark.parametrize(("name", "row"), pages())
def test_example_runs_and_is_one_run(name: str, row: dict[str, Any], tmp_path: Path):
    [example] = EXAMPLE.findall((PAGES / f"{name}.md").read_text("utf-8"))
    program = tmp_path / "example.py"
    # A loaded machine may need longer than the end of a process waits.
    program.write_text(f"{example}\nclew.flush(60)\n", "utf-8")
    outcome = run_file(program, python_of(row["env"]), row["example"], name=name, environ=row.get("vars", {}))
    assert (outcome.code, bool(COMPLAINTS.search(outcome.stderr))) == (0, False), outcome.stderr
    assert "21 degrees" in outcome.stdout
    lines = replayed(outcome.sent)
    [run] = [line["run"] for line in lines if line.get("run", {}).get("agent_name")]
    assert run["status"] == "ok"
    assert total(lines, "model_calls") == run.get("model_calls", 0) == outcome.truth["model_calls"]
    assert total(lines, "tool_calls") == run["tool_calls"] == row.get("tool_calls", outcome.truth["tool_calls"])
    for column in ("input", "output"):
        assert run.get(f"{column}_tokens", 0) == outcome.truth["totals_on_wire"][f"{column}_tokens_total"]
