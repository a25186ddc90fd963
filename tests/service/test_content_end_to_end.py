"""The demo's agents against a real processor, with content in full, hashed, and as mere shape: what is still seen."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clew.demo.environment import clean_environment
from clew.demo.model_server import ModelServer
from clew.demo.scenarios import SCENARIOS
from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODES = ("full", "hashed", "metadata")
CONTEXT = ("System", "Tools", "User", "History", "ToolResult", "Repeated", "Reread")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """A processor that every scenario was played to, in each mode as a service of its name."""
    directory: Path = tmp_path_factory.mktemp("content")
    with processor(directory) as running:
        for mode in MODES:
            with ModelServer({scenario.agent: scenario.script for scenario in SCENARIOS}, pace=0) as models:
                environment = clean_environment(
                    OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{running.grpc}",
                    OTEL_SERVICE_NAME=mode,
                    CLEW_CONTENT=mode,
                    CLEW_CONTENT_KEY="the key of this test",
                )
                program = [sys.executable, "-m", "clew.demo.agents", models.url]
                done = subprocess.run(program, env=environment, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        running.settled()
        yield running


def runs(played: Processor, mode: str) -> list[tuple]:
    return played.rows(
        "SELECT agent_name, status, model_calls, tool_calls, input_tokens, output_tokens, cost_usd, gates, loops, "
        "loop_cost_usd FROM runs WHERE service_name = {mode:String} ORDER BY agent_name",
        mode=mode,
    )


def context(played: Processor, mode: str) -> list[tuple]:
    columns = ", ".join(f"Context{part}Tokens" for part in CONTEXT)
    return played.rows(
        f"SELECT AgentName, InputTokens, {columns} FROM otel_traces "
        "WHERE ServiceName = {mode:String} AND Op = 'chat' ORDER BY AgentName, InputTokens",
        mode=mode,
    )


def test_runs_and_their_loops_are_the_same_with_hashes_for_texts(played):
    full = runs(played, "full")
    assert runs(played, "hashed") == full
    assert sum(row[8] for row in full) > 0
    loops = (
        "SELECT tool_name, repetitions, wasted_tokens, wasted_cost_usd FROM loops "
        "WHERE trace_id IN (SELECT trace_id FROM runs WHERE service_name = {mode:String}) ORDER BY ALL"
    )
    assert played.rows(loops, mode="hashed") == played.rows(loops, mode="full") != []


def test_what_the_context_is_made_of_and_what_is_read_again_is_the_same(played):
    """The parts are shares by length, and quotes around a hash in place of an object are two bytes more."""
    full, hashed = context(played, "full"), context(played, "hashed")
    assert [row[:2] for row in hashed] == [row[:2] for row in full]
    for (agent, tokens, *parts), (_, _, *others) in zip(full, hashed, strict=True):
        assert all(abs(part - other) <= tokens * 0.02 for part, other in zip(parts, others, strict=True)), agent
        assert sum(parts[:5]) == sum(others[:5]) == tokens
    assert any(row[-1] for row in full)  # history that is sent again


def test_same_content_has_the_same_name_in_every_run(played):
    """Some of the calls are the same calls again, others are not."""
    names = (
        "SELECT count(), uniqExact(ArgsHash), uniqExact(ResultHash), uniqExact(arrayJoin(InputMessages)) "
        "FROM otel_traces WHERE ServiceName = {mode:String} AND Op IN ('execute_tool', 'chat')"
    )
    assert played.rows(names, mode="hashed") == played.rows(names, mode="full")


def test_no_text_is_in_the_store_but_of_the_service_that_sends_it(played):
    question = (
        "SELECT count() FROM otel_traces_full WHERE ServiceName = {mode:String} "
        "AND position(toString(SpanAttributes), {text:String}) > 0"
    )
    said = [reply.text for scenario in SCENARIOS for reply in scenario.script if getattr(reply, "text", "")]
    for text in (line.splitlines()[0].replace('"', "") for line in said):
        found = {mode: played.value(question, mode=mode, text=text[:30]) for mode in MODES}
        assert found["full"] > 0
        assert (found["hashed"], found["metadata"]) == (0, 0)


def test_shapes_alone_are_not_taken_for_the_same_content(played):
    """Messages without their texts are alike: no loop, and in a first prompt nothing that was read before."""
    full, shapes = runs(played, "full"), runs(played, "metadata")
    assert [row[:8] for row in shapes] == [row[:8] for row in full]
    assert {row[8] for row in shapes} == {0}
    for row, shape in zip(context(played, "full"), context(played, "metadata"), strict=True):
        assert shape[:2] == row[:2]
        assert shape[-2] == 0
        assert row[-1] > 0 or shape[-1] == 0
