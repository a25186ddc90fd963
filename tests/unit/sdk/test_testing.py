"""`clew.testing`: what a recording holds, how trees differ, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import clew
from clew import ClewError, SettingError
from clew.testing import record
from shared.trace_sink import trace_sink

elsewhere = trace.get_tracer("elsewhere")


@clew.tool
def look_up_order(order_id):
    return {"order_id": order_id}


@clew.tool
def refund(order_id):
    raise KeyError(order_id)


@clew.agent(name="support-desk")
def run(question):
    with clew.step("plan") as step:
        step.decide("look_up_order", options=["look_up_order", "ask back"])
    with clew.gate("refunds", kind="policy") as gate:
        gate.deny("write to ines@example.com")
    look_up_order("A-1042")
    with elsewhere.start_as_current_span("chat model") as call:
        call.set_attributes({"gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 5, "clew.cost.usd": 1.2e-5})
    clew.outcome("partial")


TREE = """\
invoke_agent support-desk [outcome partial]
  step plan [decide look_up_order]
  gate refunds [deny]
  execute_tool look_up_order
  chat model [11 in, 5 out] [$0.000012]
"""


def difference(spans, expected, **options):
    """What the assertion says, without its first line."""
    with pytest.raises(AssertionError) as failure:
        spans.assert_tree(expected, **options)
    return str(failure.value).partition("\n")[2]


@pytest.fixture(scope="module")
def spans():
    with record() as spans:
        run("where is it?")
    return spans


def test_tree_is_the_text_that_is_asserted(spans):
    assert spans.tree() == str(spans) == TREE
    spans.assert_tree(TREE)


def test_only_what_the_expected_text_says_in_brackets_is_compared(spans):
    spans.assert_tree(
        """
        invoke_agent support-desk
            step plan

            gate refunds [deny]
            execute_tool look_up_order [gen_ai.tool.name=look_up_order] [gen_ai.agent.name=support-desk]
            chat model [5 out]
        """.replace("5 out", "11 in, 5 out")
    )


def test_difference_shows_the_lines_that_differ_and_those_that_do_not(spans):
    assert difference(
        spans,
        """
        invoke_agent support-desk
          step plan [decide ask back]
          execute_tool look_up_order [gen_ai.tool.name=refund] [gen_ai.tool.type=function]
          execute_tool refund
          chat model
        """,
    ) == textwrap.dedent("""\
          invoke_agent support-desk
        -   step plan [decide ask back]
        +   step plan [decide look_up_order]
        +   gate refunds [deny]
        -   execute_tool look_up_order [gen_ai.tool.name=refund] [gen_ai.tool.type=function]
        +   execute_tool look_up_order [gen_ai.tool.name=look_up_order] [gen_ai.tool.type=function]
        -   execute_tool refund
            chat model""")


def test_difference_shows_a_span_under_another_parent(spans):
    assert "-     gate refunds\n" in difference(
        spans,
        """
        invoke_agent support-desk
          step plan
            gate refunds
          execute_tool look_up_order
          chat model
        """,
    )


def test_what_went_wrong_has_to_be_expected(recorded):
    @clew.agent(name="fails")
    def fails():
        refund("A-1")

    with pytest.raises(KeyError):
        fails()
    assert difference(recorded, "invoke_agent fails\n  execute_tool refund [error KeyError]") == textwrap.dedent("""\
        - invoke_agent fails
        + invoke_agent fails [error KeyError]
            execute_tool refund [error KeyError]""")
    recorded.assert_tree("invoke_agent fails [error KeyError]\n  execute_tool refund [error KeyError]")
    with pytest.raises(AssertionError, match=r"execute_tool refund \[error KeyError\]"):
        recorded.assert_no_errors()


def test_error_without_a_type_is_an_error_too(recorded):
    with elsewhere.start_as_current_span("a") as a:
        a.set_status(StatusCode.ERROR)
    with pytest.raises(RuntimeError), elsewhere.start_as_current_span("b"):
        raise RuntimeError
    recorded.assert_tree("a [error]\nb [error RuntimeError]")


def test_span_that_is_open_is_seen(recorded):
    with clew.step("plan"):
        assert recorded.tree() == "step plan [not ended]\n"
        assert json.loads(recorded.to_json())[0]["end_s"] is None
        assert len(recorded) == 0
    recorded.assert_tree("step plan")


def test_brackets_in_names_and_long_texts_stay_on_one_line(recorded):
    with elsewhere.start_as_current_span("odd [name]\nhere"), clew.step("plan") as step:
        step.decide("[first]\n" + "x" * 200)
    assert recorded.tree().splitlines()[0] == "odd (name) here"
    recorded.assert_tree(recorded.tree())
    assert max(map(len, recorded.tree().splitlines())) < 100


def test_order_of_siblings_matters_unless_it_is_said_not_to(recorded):
    with clew.step("act", name="all"):
        for number in (2, 1, 3):
            with clew.step("act", name="same") as step, clew.step("act", name=f"inner {number}"):
                step.decide(f"{number}")
    shuffled = """
        step all
          step same [decide 1]
            step inner 1
          step same [decide 3]
            step inner 3
          step same [decide 2]
            step inner 2
    """
    assert "- " in difference(recorded, shuffled)
    recorded.assert_tree(shuffled, ordered=False)
    assert difference(recorded, shuffled.replace("decide 3", "decide 4"), ordered=False).count("\n+ ") == 1


def test_expected_tree_indented_like_nothing_is_refused(spans):
    with pytest.raises(ClewError, match="like nothing above it here: 'c'"):
        spans.assert_tree("a\n    b\n  c\n")


def test_nothing_recorded_is_said(recorded):
    assert difference(recorded, "step plan") == "- step plan"
    recorded.assert_tree("")


def test_attributes_are_asserted_by_name(spans):
    spans.assert_attributes(
        "execute_tool look_up_order",
        {"gen_ai.tool.call.arguments": '{"order_id":"A-1042"}', "gen_ai.agent.name": "support-desk", "nothing": None},
    )
    spans.assert_attributes("step plan", {"clew.decision.options": ["look_up_order", "ask back"]})
    with pytest.raises(AssertionError, match=r"- clew.step.index: 2\n\+ clew.step.index: 1$"):
        spans.assert_attributes("step plan", {"clew.step.index": 2, "clew.step.kind": "plan"})
    with pytest.raises(AssertionError, match="0 spans named 'step act' have ended, not one"):
        spans.assert_attributes("step act", {})


def test_recording_holds_what_would_be_sent():
    def tree(content):
        with record(content=content) as spans:
            run("where is it?")
        return spans

    full = tree("full")
    assert full.named("gate refunds").attributes["clew.gate.reason"] == "write to [REDACTED:email]"
    assert "clew.gate.reason" not in tree("metadata").named("gate refunds").attributes
    assert "A-1042" in full.to_json()
    assert "A-1042" not in tree("off").to_json()
    with pytest.raises(SettingError, match="did you mean 'full'"):
        record(content="ful").__enter__()


def test_recordings_of_the_same_run_are_the_same(spans):
    with record() as again:
        time.sleep(0.001)
        run("where is it?")
    assert again.to_json() == spans.to_json()
    assert [span.context.span_id for span in again] == [2, 3, 4, 5, 1]
    assert again.trace_ids() == {1}


def test_clock_goes_on_when_it_is_told_to(recorded):
    with clew.step("plan"):
        recorded.clock.advance(1.5)
        with clew.step("act"):
            recorded.clock.advance(0.25)
    first, second = json.loads(recorded.to_json())
    assert (first["start_s"], first["end_s"]) == (0.0, 1.75)
    assert (second["start_s"], second["end_s"]) == (1.5, 1.75)
    assert recorded.named("step plan").start_time == 1_767_225_600_000_000_000


def test_clear_forgets(recorded):
    run("first")
    recorded.clear()
    with clew.step("act"):
        pass
    recorded.assert_tree("step act")


async def test_tasks_and_threads_are_recorded(recorded):
    @clew.agent(name="many")
    async def many():
        await asyncio.gather(*(asyncio.to_thread(look_up_order, number) for number in range(3)))

    await many()
    recorded.assert_tree("invoke_agent many\n" + "  execute_tool look_up_order\n" * 3)


def test_span_that_had_started_before_is_not_recorded():
    before = clew.step("plan")
    with record():
        before.__enter__()
    with record() as spans:
        before.__exit__(None, None, None)
    assert spans.tree() == ""


def test_two_recordings_at_once_are_refused(recorded):
    with pytest.raises(ClewError, match="goes on in this process already"), record():
        pass
    with clew.step("act"):
        pass
    recorded.assert_tree("step act")


# What a process may have configured, in one of its own: a provider can be configured only once.
CONFIGURED = """
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import clew
from clew.testing import record
tracer = trace.get_tracer("early")
"""


def python(code, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURED + textwrap.dedent(code)],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_nothing_stays_behind():
    python("""
        import os, time
        import opentelemetry.sdk.trace
        from clew import _content
        variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
        try:
            with record(content="off"):
                assert os.environ[variable] == "NO_CONTENT"
                assert opentelemetry.sdk.trace.time_ns is not time.time_ns
                1 / 0
        except ZeroDivisionError:
            pass
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        assert variable not in os.environ
        assert opentelemetry.sdk.trace.time_ns is time.time_ns
        assert not tracer.start_span("unseen").is_recording()
        with record() as spans:
            clew.tool(len)("k")
        spans.assert_attributes("execute_tool len", {"gen_ai.tool.call.result": "1"})
        assert _content._rules == _content.ContentRules.all(_content.Content.OFF)
    """)


def test_configured_provider_keeps_its_processors_and_its_ids():
    python("""
        class Enriches(SpanProcessor):
            def on_start(self, span, parent_context=None):
                span.set_attribute("team", "desk")
        provider, exporter = TracerProvider(), InMemorySpanExporter()
        provider.add_span_processor(Enriches())
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        tracer.start_span("before").end()
        with record() as spans:
            with clew.step("act"):
                tracer.start_span("inside").end()
        tracer.start_span("after").end()
        spans.assert_tree("step act [team=desk]\\n  inside [team=desk]")
        before, inside, step, after = exporter.get_finished_spans()
        assert (step.context.span_id, inside.context.span_id) == (1, 2)
        assert before.context.span_id > 2**20 and after.context.trace_id > 2**20 and after.start_time != step.start_time
        assert len(spans.trace_ids()) == 1
    """)


def test_clew_that_is_set_up_sends_nothing_of_a_recording():
    with trace_sink() as sink:
        python(
            """
            import clew.auto
            with record() as spans:
                with clew.step("act"):
                    pass
            spans.assert_tree("step act")
            with clew.step("act", name="after"):
                pass
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            CLEW_START_RECORDS="off",
        )
    assert {span.name for span in sink.spans} == {"step after"}


def test_clew_that_is_set_up_during_a_recording_stays_set_up():
    with trace_sink() as sink:
        python(
            """
            with record() as spans:
                import clew.auto
                with clew.step("act"):
                    pass
            spans.assert_tree("step act")
            with clew.step("act", name="after"):
                clew.tool(len)("k")
            with record() as spans:
                tracer.start_span("inside").end()
            spans.assert_tree("inside")
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint,
            CLEW_START_RECORDS="off",
        )
    assert {span.name for span in sink.spans} == {"step after", "execute_tool len"}


def test_provider_can_be_configured_after_a_recording_and_gets_what_tracers_made_in_it_record():
    python("""
        with record() as spans:
            tracer.start_span("inside").end()
            late = trace.get_tracer("late")
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        for one in (tracer, late):
            with one.start_as_current_span("after"):
                pass
        with clew.step("act"):
            pass
        spans.assert_tree("inside")
        assert [span.name for span in exporter.get_finished_spans()] == ["after", "after", "step act"]
    """)


def test_recording_works_where_opentelemetry_is_switched_off():
    python(
        """
        with record() as spans, clew.step("act"):
            pass
        spans.assert_tree("step act")
        """,
        OTEL_SDK_DISABLED="true",
        OTEL_TRACES_SAMPLER="always_off",
    )


def test_needs_no_pytest():
    assert python("import sys; print('pytest' in sys.modules, '_pytest' in sys.modules)").split() == ["False", "False"]


def pytest_run(tmp_path: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(code))
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_clew", "-p", "no:cacheprovider", "-q", *options, "test_it.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CLEW_", "OTEL_"))}
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


SUITE = """
    import clew, pytest

    @clew.tool
    def look_up(key):
        return key

    @pytest.mark.parametrize("number", range(4))
    def test_passes(clew_spans, number):
        look_up("k")
        clew_spans.assert_tree("execute_tool look_up [gen_ai.tool.call.result=k]".replace("=k", '="k"'))

    @pytest.mark.clew(content="off")
    def test_without_content(clew_spans):
        look_up("k")
        clew_spans.assert_attributes("execute_tool look_up", {"gen_ai.tool.call.result": None})
"""


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "xdist"])
def test_plugin_gives_every_test_a_recording_of_its_own(tmp_path, options):
    done = pytest_run(tmp_path, SUITE, *options)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_failed_test_shows_its_tree(tmp_path):
    done = pytest_run(
        tmp_path,
        """
        import clew

        def test_fails(clew_spans):
            with clew.step("plan") as step:
                step.decide("a")
            assert "something" == "else"
        """,
    )
    assert "1 failed" in done.stdout
    assert "- clew spans -" in done.stdout
    assert "step plan [decide a]" in done.stdout


def test_plugin_that_is_not_used_loads_nothing(tmp_path):
    done = pytest_run(
        tmp_path,
        """
        import sys

        def test_nothing_is_loaded():
            assert "pytest_clew" in sys.modules
            assert not [name for name in sys.modules if name.partition(".")[0] in ("clew", "opentelemetry")]
        """,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_documented_example_runs_as_it_stands(tmp_path):
    page = (Path(__file__).parents[3] / "docs/testing.md").read_text("utf-8")
    agent, test, script = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "support_desk.py").write_text(agent)
    done = pytest_run(tmp_path, test)
    assert "1 passed" in done.stdout, done.stdout
    printed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    tree = textwrap.dedent(re.search(r'assert_tree\("""\n(.*?)\n *"""', test, re.DOTALL)[1])
    assert printed.stdout.strip() == tree


def test_plugin_is_an_entry_point():
    from importlib.metadata import entry_points

    assert [entry.value for entry in entry_points(group="pytest11", name="pytest_clew")] == ["pytest_clew"]
