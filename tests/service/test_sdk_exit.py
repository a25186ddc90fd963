"""However a process ends, what it recorded arrives; where it cannot, it is clear what is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from shared.trace_sink import TraceSink, attributes, trace_sink

AGENT = """
import clew.auto, clew, os, signal, sys, threading, time

@clew.tool
def tool(number):
    return number
"""


INTERRUPTED = (
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what runs in the background may ignore it
    "tool(1); os.kill(os.getpid(), signal.SIGINT); time.sleep(600)"
)


def start(code, endpoint, *command, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))}
    # Nothing is sent before the end, unless it is asked for.
    environment = (
        kept | {"CLEW_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "600000", "PYTHONUNBUFFERED": "1"} | more
    )
    return subprocess.Popen(
        [sys.executable, *command, *([] if command else ["-c", AGENT + code])],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code, endpoint, *command, **more):
    process = start(code, endpoint, *command, **more)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def sink():
    with trace_sink() as sink:
        yield sink


def statuses(sink):
    return {
        attributes(span).get("gen_ai.tool.call.arguments", span.name): attributes(span)["clew.status"]
        for span in sink.spans
    }


@pytest.mark.parametrize(
    ("code", "code_of_exit"),
    [
        ("tool(1)", 0),
        ("tool(1); sys.exit(3)", 3),
        ("tool(1); raise SystemExit", 0),
        ("tool(1); 1 / 0", 1),
        ("threading.Thread(target=tool, args=(1,)).start()", 0),
        ("threading.Thread(target=lambda: (time.sleep(0.3), tool(1), sys.exit(5))).start()", 0),
        ("threading.Thread(target=lambda: (tool(1), time.sleep(600)), daemon=True).start(); time.sleep(1)", 0),
        ("import asyncio\nasync def main(): tool(1)\nasyncio.run(main())", 0),
        ("import asyncio\nasync def main(): tool(1); raise KeyError\nasyncio.run(main())", 1),
        ("import atexit; atexit.register(tool, 1)", 0),
        (INTERRUPTED, 1),
        ("tool(1); os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)", -signal.SIGTERM),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); tool(1); signal.raise_signal(signal.SIGTERM)", 9),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_ended_arrives(sink, code, code_of_exit):
    returned, _, err = run(code, sink.endpoint)
    assert returned == code_of_exit
    assert "clew" not in err.replace("/clew/", "")
    assert statuses(sink) == {'{"number":1}': "ok"}


@pytest.mark.parametrize("end", ["sys.exit(1)", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)"])
def test_what_is_open_arrives_as_interrupted(sink, end):
    run(f"with clew.step('act', name='open'):\n    tool(1); {end}", sink.endpoint)
    assert statuses(sink) == {'{"number":1}': "ok", "step open": "interrupted"}


def test_generator_that_nobody_finished_arrives(sink):
    code = "@clew.agent\ndef agent():\n    yield tool(1)\nstream = agent(); next(stream)"
    run(code, sink.endpoint)
    assert statuses(sink)["invoke_agent agent"] in ("cancelled", "interrupted")
    assert len(sink.spans) == 2


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "os.abort()", "os.kill(os.getpid(), signal.SIGKILL)", "faulthandler._sigsegv()"]
)
def test_of_a_crash_what_was_handed_over_is_out_and_the_rest_is_lost(sink, end):
    code = f"import faulthandler\ntool(1); clew.flush(30); tool(2); {end}"
    run(code, sink.endpoint)
    assert statuses(sink) == {'{"number":1}': "ok"}


def test_what_is_handed_over_is_out_within_the_delay_without_a_flush(sink):
    process = start("tool(1); input(); os.abort()", sink.endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
    assert sink.wait_for(1)
    process.communicate("\n", timeout=60)
    assert process.returncode == -signal.SIGABRT


def test_function_that_is_frozen_after_its_answer_flushes_first(sink):
    """As AWS Lambda does: the process is stopped between calls, and may never go on."""
    process = start("for line in sys.stdin:\n    tool(int(line)); print(clew.flush(30))", sink.endpoint)
    for call in (1, 2):
        process.stdin.write(f"{call}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"
        assert len(sink.spans) == call
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.communicate()


def test_short_programme_waits_for_a_receiver_that_is_slow():
    class Slow(TraceSink):
        def Export(self, request, context):  # noqa: N802
            threading.Event().wait(1)
            return super().Export(request, context)

    with trace_sink(sink=Slow()) as sink:
        assert run("tool(1)", sink.endpoint)[0] == 0
    assert statuses(sink) == {'{"number":1}': "ok"}


def test_second_signal_while_sending_does_not_lose_what_is_sent():
    hang = threading.Event()
    with trace_sink(sink=TraceSink(hang=hang)) as sink:
        process = start("tool(1); print('working'); time.sleep(600)", sink.endpoint)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        threading.Timer(1, hang.set).start()
        assert process.wait(60) == -signal.SIGTERM
        process.communicate()
        assert statuses(sink) == {'{"number":1}': "ok"}


@pytest.mark.parametrize("command", ["script", "module", "pytest", "stdin"])
def test_every_way_to_run_a_programme_delivers(sink, tmp_path, command):
    (tmp_path / "job.py").write_text(AGENT + "def test_job():\n    tool(1)\nif __name__ == '__main__': test_job()\n")
    ways = {
        "script": [tmp_path / "job.py"],
        "module": ["-m", "job"],
        "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "job.py"],
        "stdin": ["-"],
    }
    process = start("", sink.endpoint, *ways[command], PYTHONPATH=str(tmp_path))
    _, err = process.communicate("import job; job.test_job()\n", timeout=120)
    assert process.returncode == 0
    assert "clew lost" not in err
    assert statuses(sink) == {'{"number":1}': "ok"}


def test_cells_of_a_notebook_deliver_without_an_end(sink):
    """A kernel lives on between cells, each with an event loop that is there already."""
    code = """
import asyncio, code
console = code.InteractiveConsole({"tool": tool, "clew": clew})
loop = asyncio.new_event_loop()
async def cell(text):
    console.runsource(text)
for number in (1, 2):
    loop.run_until_complete(cell(f"tool({number})"))
    time.sleep(0.5)
loop.close()
os._exit(0)
"""
    run(code, sink.endpoint, OTEL_BSP_SCHEDULE_DELAY="50")
    sink.wait_for(1)
    assert '{"number":1}' in statuses(sink)
