"""The SDK in a process of its own, against a real receiver that is there, away, hanging, refusing or restarted."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import pytest

from shared.trace_sink import TraceSink, attributes, http_door, trace_sink

AGENT = """
import clew.auto, clew

@clew.tool
def look_up(key):
    return {"key": key}

@clew.agent(name="agent")
def agent():
    with clew.step("act"):
        return look_up("k")
"""


def environment(endpoint, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))}
    return kept | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "PYTHONUNBUFFERED": "1"} | more


def run(code, endpoint, **more):
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(endpoint, **more), capture_output=True, text=True, timeout=120
    )


def start(code, endpoint, **more):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(endpoint, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def sink():
    with trace_sink() as sink:
        yield sink


@pytest.fixture
def nobody():
    """An endpoint where nobody listens; the port stays taken, so nobody will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_short_programme_delivers_everything_at_exit(sink):
    done = run(AGENT + "agent()", sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    root, step, tool = (sink.named(name) for name in ("invoke_agent agent", "step act", "execute_tool look_up"))
    assert root.parent_span_id == b""
    assert step.parent_span_id == root.span_id
    assert tool.parent_span_id == step.span_id
    assert attributes(tool)["gen_ai.tool.call.result"] == '{"key":"k"}'


def test_service_and_distribution_are_in_the_resource(sink):
    run(AGENT + "agent()", sink.endpoint, CLEW_SERVICE="desk")
    assert sink.resource["service.name"] == "desk"
    assert sink.resource["telemetry.distro.name"] == "clew"


def test_default_endpoint_is_the_processors_on_this_machine():
    from clew import _settings

    assert _settings.DEFAULT_ENDPOINT == "http://127.0.0.1:4317"


def test_endpoint_may_be_given_without_a_scheme(sink):
    code = AGENT.replace("clew.auto, ", "") + f"clew.init(endpoint='127.0.0.1:{sink.port}'); agent()"
    run(code, "http://127.0.0.1:1")
    assert len(sink.spans) == 3


def test_flush_says_whether_everything_arrived(sink, nobody):
    code = AGENT + "agent(); print(clew.flush(10))"
    assert run(code, sink.endpoint).stdout == "True\n"
    assert run(code.replace("10", "0.5"), nobody).stdout == "False\n"


def test_secrets_do_not_leave_the_process(sink):
    code = AGENT + "look_up('sk-ant-api03-' + 'aB3' * 12)"
    run(code, sink.endpoint)
    sent = sink.requests[0].SerializeToString()
    assert b"aB3aB3" not in sent
    assert b"[REDACTED:anthropic_api_key]" in sent


@pytest.mark.parametrize("content", ["off", "metadata"])
def test_content_can_be_left_out(sink, content):
    run(AGENT + "look_up('private words')", sink.endpoint, CLEW_CONTENT=content)
    assert b"private words" not in sink.requests[0].SerializeToString()
    assert sink.named("execute_tool look_up")


def test_absent_processor_leaves_the_agent_unharmed_and_is_said_once(nobody):
    code = AGENT + "[agent() for _ in range(50)]; print('answer')"
    started = time.monotonic()
    done = run(code, nobody)
    assert time.monotonic() - started < 60
    assert (done.returncode, done.stdout) == (0, "answer\n")
    [line] = done.stderr.splitlines()
    assert "clew lost 150 span(s)" in line
    assert nobody in line


def test_exit_waits_for_an_absent_processor_only_a_few_seconds(nobody):
    code = AGENT + "import time, atexit\nagent()\n"
    code = "import time, atexit\natexit.register(lambda: print(time.monotonic() - started))\n" + code
    done = run(code + "started = time.monotonic()", nobody)
    # Registered first, so called last: what is printed is how long clew's own exit took. Its bound is 3.5 s; the rest
    # is room for a busy machine, and far from the 10 s of one export and the 30 s of the standard processor.
    assert float(done.stdout) < 8


def test_hanging_processor_holds_up_neither_the_agent_nor_its_exit():
    with trace_sink(sink=TraceSink(hang=threading.Event())) as sink:
        code = AGENT + "agent(); print('answer')"
        done = run(code, sink.endpoint)
        assert (done.returncode, done.stdout) == (0, "answer\n")
        assert "clew lost 3 span(s)" in done.stderr


@pytest.mark.parametrize("status", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED])
def test_refusal_is_said_once_with_its_reason(status):
    with trace_sink(sink=TraceSink(refuse=status)) as sink:
        done = run(AGENT + "agent(); clew.flush(); agent()", sink.endpoint)
    [line] = done.stderr.splitlines()
    assert status.name in line
    assert "refused by the test" in line


def test_restarted_processor_gets_what_was_recorded_meanwhile():
    code = AGENT + "agent(); print(clew.flush(30)); input(); agent(); print('recorded'); print(clew.flush(30))"
    with trace_sink() as first:
        agent = start(code, first.endpoint)
        assert agent.stdout.readline() == "True\n"
        assert len(first.spans) == 3
    agent.stdin.write("\n")
    agent.stdin.flush()
    assert agent.stdout.readline() == "recorded\n"
    with trace_sink(port=first.port) as second:
        assert agent.stdout.readline() == "True\n"
        assert len(second.spans) == 3
    _, err = agent.communicate(timeout=60)
    assert agent.returncode == 0
    assert "clew" not in err  # gRPC's own core may note that the connection went away


def test_sigterm_ends_and_sends_what_is_open_and_still_kills(sink):
    code = (
        AGENT
        + """
import time
@clew.agent(name="long")
def long():
    with clew.step("act", name="hangs"):
        print("working")
        time.sleep(600)
long()
"""
    )
    agent = start(code, sink.endpoint)
    assert agent.stdout.readline() == "working\n"
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == -signal.SIGTERM
    for name in ("invoke_agent long", "step hangs"):
        assert attributes(sink.named(name))["clew.status"] == "interrupted"
    agent.communicate()


def test_handler_of_sigterm_that_was_there_is_called_after_sending(sink):
    code = (
        """
import signal, sys
def handler(number, frame):
    print("handled", number)
    sys.exit(7)
signal.signal(signal.SIGTERM, handler)
"""
        + AGENT
        + """
import time
agent(); print("working"); time.sleep(600)
"""
    )
    agent = start(code, sink.endpoint)
    assert agent.stdout.readline() == "working\n"
    agent.send_signal(signal.SIGTERM)
    out, err = agent.communicate(timeout=60)
    assert (agent.returncode, out, err) == (7, f"handled {signal.SIGTERM.value}\n", "")
    assert len(sink.spans) == 3


def test_ignored_sigterm_stays_ignored(sink):
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + AGENT
    code += "assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN; agent()"
    assert run(code, sink.endpoint).returncode == 0
    assert len(sink.spans) == 3


def test_set_up_in_a_thread_leaves_signals_alone_and_works(sink):
    code = """
import signal, threading
def work():
    global clew
    import clew.auto, clew
    with clew.step("act"): pass
thread = threading.Thread(target=work); thread.start(); thread.join()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    done = run(code, sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.spans) == 1


def test_open_spans_are_sent_at_a_normal_exit(sink):
    code = AGENT + "scope = clew.step('act', name='left open'); scope.__enter__()"
    run(code, sink.endpoint)
    assert attributes(sink.named("step left open"))["clew.status"] == "interrupted"


def test_forked_child_sends_its_own_spans_and_not_its_parents(sink):
    code = (
        AGENT
        + """
import os
with clew.step("act", name="parents"):
    if os.fork() == 0:
        agent(); sent = clew.flush(30); os._exit(0 if sent else 1)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""
    )
    done = run(code, sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(span.name for span in sink.spans) == [
        "execute_tool look_up",
        "invoke_agent agent",
        "step act",
        "step parents",
    ]


def test_long_conversations_arrive_at_a_receiver_with_the_usual_limit(sink):
    """A batch of them is larger than the 4 MiB a gRPC server takes by default."""
    code = AGENT + "[look_up('x' * 200_000) for _ in range(50)]; assert clew.flush(60)"
    done = run(code, sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.spans) == 50
    assert len(sink.requests) > 5


def test_long_conversations_in_any_script_arrive(sink):
    """Ж is one character and two bytes, 漢 is three, 😀 four."""
    code = AGENT + "[look_up(c * 300_000) for c in 'Ж漢😀' * 5]; assert clew.flush(60)"
    done = run(code, sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.spans) == 15
    assert "clew.content.truncated" not in {name for span in sink.spans for name in attributes(span)}


def test_span_beyond_the_receivers_limit_is_cut_and_the_others_arrive_whole(sink):
    code = AGENT + "look_up('a'); look_up('x' * 9_000_000); look_up('b'); assert clew.flush(60)"
    done = run(code, sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert [attributes(span).get("clew.content.truncated") for span in sink.spans] == [None, True, None]
    [told] = json.loads(attributes(sink.spans[1])["gen_ai.tool.call.arguments"]).values()
    mark = re.search(r"<TRUNCATED:(\d+) characters:(\d+) bytes:[0-9a-f]{32}>$", told)
    assert mark.start() + int(mark[1]) == 9_000_000


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_batch_the_receiver_finds_too_large_is_sent_in_parts(protocol):
    """A proxy's limit is often lower than gRPC's; nothing waits for the exporter's own retries of the same request."""
    with trace_sink(most_bytes=100_000) as sink, http_door(sink, most_bytes=100_000) as door:
        code = AGENT + "[look_up('x' * 10_000) for _ in range(50)]; assert clew.flush(60)"
        endpoint = sink.endpoint if protocol == "grpc" else door
        done = run(code, endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.spans) == 50


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("spoilt", ["update_name(5)", "_kind = 7", "_start_time = -5"])
def test_span_that_cannot_be_written_is_lost_alone(protocol, spoilt):
    with trace_sink() as sink, http_door(sink) as door:
        code = AGENT + (
            "from opentelemetry.trace import get_current_span\n"
            "look_up('a')\n"
            f"with clew.step('act'): get_current_span().{spoilt}\n"
            "look_up('b'); print(clew.flush(30))"
        )
        done = run(code, sink.endpoint if protocol == "grpc" else door, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert [span.name for span in sink.spans] == ["execute_tool look_up"] * 2
    assert done.stderr.count("clew failed while writing a span") == 1


def test_disabled_sdk_records_nothing_and_changes_nothing(sink):
    code = AGENT + "agent(); from opentelemetry import trace; print(type(trace.get_tracer_provider()).__name__)"
    assert run(code, sink.endpoint, OTEL_SDK_DISABLED="true").stdout == "ProxyTracerProvider\n"
    assert sink.spans == []


def test_second_set_up_changes_nothing(sink):
    code = AGENT + "clew.init(); clew.init(endpoint='http://127.0.0.1:1'); agent()"
    done = run(code, sink.endpoint)
    assert "already" in done.stderr
    assert len(sink.spans) == 3


def test_wrong_content_setting_stops_init_and_not_the_import(sink):
    code = "import clew\ntry: clew.init(content='hash')\nexcept clew.SettingError as error: print(error)"
    assert "did you mean 'hashed'?" in run(code, sink.endpoint).stdout
    done = run(AGENT + "agent()", sink.endpoint, CLEW_CONTENT="hash")
    assert done.returncode == 0
    assert "CLEW_CONTENT='hash'" in done.stderr
    assert "gen_ai.tool.call.result" not in attributes(sink.named("execute_tool look_up"))
