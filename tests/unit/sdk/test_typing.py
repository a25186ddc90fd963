"""Users' type checkers see what the decorators keep: `mypy --strict` on a programme as users write it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files

PROGRAMME = """
from collections.abc import AsyncIterator, Iterator

import clew
import clew.auto


@clew.tool
def look_up(order: str, *, deep: bool = False) -> dict[str, int]:
    return {order: int(deep)}


@clew.tool(name="search")
async def search(query: str) -> list[str]:
    return [query]


@clew.agent
def stream(question: str) -> Iterator[str]:
    yield question


@clew.agent(name="desk", version="2")
async def desk(question: str) -> AsyncIterator[str]:
    with clew.step("plan", name="which tool") as step:
        step.decide("search", options=["search", "ask"], rejected=("ask",), confidence=0.5, reason="r")
        step.summarise("s")
        step.finished("continue")
        reveal_type(step)
    with clew.gate("refunds", kind="human", phase="pre_tool", target="tool_call", policy="p") as gate:
        gate.allow("fine", scope="session")
        gate.decided_by("user", actor="human", score=1)
        reveal_type(gate)
    for hit in await search(question):
        yield hit
    clew.outcome("success", score=1, labels=["a"], source="agent")


class Shop:
    @clew.tool
    def price(self, item: str) -> float:
        return 1.0

    @staticmethod
    @clew.tool
    def tax(item: str) -> float:
        return 0.1


clew.init("shop", endpoint="http://127.0.0.1:4317", content="off")
reveal_type(look_up)
reveal_type(look_up("a", deep=True))
reveal_type(search)
reveal_type(stream)
reveal_type(desk)
reveal_type(Shop().price("a"))
reveal_type(Shop.tax("a"))
reveal_type(clew.flush(1))
reveal_type(clew.instrumentations()[0].version)
"""
REVEALED = [
    "clew._spans.step.Step",
    "clew._spans.gate.Gate",
    "def (order: str, *, deep: bool =) -> dict[str, int]",
    "dict[str, int]",
    "def (query: str) -> Coroutine[Any, Any, list[str]]",
    "def (question: str) -> Iterator[str]",
    "def (question: str) -> AsyncIterator[str]",
    "float",
    "float",
    "bool",
    "str | None",
]
MISTAKES = {
    "look_up(1)": "arg-type",
    "look_up('a', deeper=True)": "call-arg",
    "clew.step('plann')": "arg-type",
    "clew.gate('g', kind='nobody')": "arg-type",
    "clew.outcome('fine')": "arg-type",
    "clew.flush('soon')": "arg-type",
}


def mypy(tmp_path, code):
    (tmp_path / "programme.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", "programme.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.stderr
    return done.stdout


def test_users_programme_is_checked_strictly_and_mistakes_are_found(tmp_path):
    mistakes = "".join(f"{mistake}\n" for mistake in MISTAKES)
    said = mypy(tmp_path, PROGRAMME + mistakes)
    revealed = [
        re.sub(r"\b(builtins|typing|collections\.abc|types)\.", "", line)
        for line in re.findall(r'Revealed type is "(.*)"', said)
    ]
    assert revealed == REVEALED
    errors = re.findall(r"programme.py:(\d+): error: .* \[(.*)\]", said)
    first = PROGRAMME.count("\n") + 1
    assert errors == [(str(first + index), code) for index, code in enumerate(MISTAKES.values())], said


def test_the_package_says_that_it_is_typed():
    assert files("clew").joinpath("py.typed").is_file()
