"""Programmes that fork: every process's spans arrive, each once, however the process ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager

import pytest

from shared.trace_sink import TraceSink, attributes, http_door, trace_sink

AGENT = """
import clew.auto, clew

@clew.tool
def tool(number):
    return number

@clew.agent
def agent(number):
    return tool(number)
"""
WEB = (
    AGENT
    + """
import os
tool("at import")

def application(environ, start_response):
    agent(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    agent(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
)


def environment(endpoint, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))}
    return kept | {"CLEW_ENDPOINT": endpoint, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"} | more


@pytest.fixture
def sink():
    with trace_sink() as sink:
        yield sink


def ended(sink):
    """The spans that came, without the records of those that were still open."""
    return [span for span in sink.spans if "clew.pending" not in attributes(span)]


def arguments(sink, name="execute_tool tool"):
    """How often each call of the tool arrived."""
    return Counter(
        attributes(span)["gen_ai.tool.call.arguments"].partition(":")[2].strip('"}')
        for span in ended(sink)
        if span.name == name
    )


def assert_whole(sink):
    """No span twice, and each tool of an agent's under its agent."""
    ids = Counter(span.span_id for span in ended(sink))
    assert ids.total() == len(ids)
    agents = {span.span_id for span in ended(sink) if span.name == "invoke_agent agent"}
    parents = [span.parent_span_id for span in ended(sink) if span.name == "execute_tool tool" and span.parent_span_id]
    assert sorted(parents) == sorted(agents)


@contextmanager
def gunicorn(tmp_path, endpoint, *options, app="application"):
    (tmp_path / "web.py").write_text(WEB)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "gunicorn.log"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        f"web:{app}",
        "-b",
        f"127.0.0.1:{port}",
        "--no-control-socket",
        *options,
    ]
    with log.open("wb") as out:
        master = subprocess.Popen(command, cwd=tmp_path, env=environment(endpoint), stdout=out, stderr=out)
    try:
        yield master, f"http://127.0.0.1:{port}"
    finally:
        master.terminate()
        try:
            master.wait(60)
        finally:
            master.kill()
    assert "clew" not in log.read_text()


def get(url):
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return int(answer.read())
        except OSError:  # not there yet, or a worker that is being replaced
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
@pytest.mark.parametrize("worker", ["sync", "gthread", "asgi"])
def test_every_worker_of_gunicorn_sends_what_it_records(sink, tmp_path, worker, preload):
    app = "asgi" if worker == "asgi" else "application"
    with gunicorn(tmp_path, sink.endpoint, "-w", "2", "-k", worker, "--threads", "2", *preload, app=app) as (_, url):
        workers = set()
        asked = 0
        while asked < 20 or (len(workers) < 2 and asked < 200):
            workers.add(get(f"{url}/{asked}"))
            asked += 1
    assert len(workers) == 2
    found = arguments(sink)
    assert found.pop("at import") == (1 if preload else 2)
    assert found == Counter(f"/{number}" for number in range(asked))
    assert_whole(sink)


def test_workers_that_are_replaced_after_some_requests_lose_nothing(sink, tmp_path):
    options = ("-w", "1", "--max-requests", "3", "--preload")
    with gunicorn(tmp_path, sink.endpoint, *options) as (_, url):
        workers = {get(f"{url}/{number}") for number in range(10)}
    assert len(workers) > 2
    found = arguments(sink)
    assert found["at import"] == 1
    assert {f"/{number}" for number in range(10)} <= set(found)  # a request may have been asked again
    assert_whole(sink)


def test_graceful_reload_loses_nothing(sink, tmp_path):
    with gunicorn(tmp_path, sink.endpoint, "-w", "1") as (master, url):
        first = get(f"{url}/before")
        master.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while get(f"{url}/after") == first:
            assert time.monotonic() < deadline
    found = arguments(sink)
    assert found["/before"] == 1
    assert found["/after"] >= 1
    assert found["at import"] == 2
    assert_whole(sink)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["process", "pool", "executor"])
def test_children_of_multiprocessing_send_what_they_record(sink, tmp_path, method, kind):
    work = {
        "process": "work = [context.Process(target=agent, args=(number,)) for number in range(3)]\n"
        "    [child.start() for child in work]; [child.join() for child in work]",
        "pool": "with context.Pool(2) as pool: pool.map(agent, range(3))",
        "executor": "with ProcessPoolExecutor(2, mp_context=context) as pool: list(pool.map(agent, range(3)))",
    }[kind]
    script = tmp_path / "script.py"
    script.write_text(
        AGENT
        + "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        + "if __name__ == '__main__':\n    tool('parent')\n"
        + f"    context = multiprocessing.get_context('{method}')\n    {work}\n"
    )
    done = subprocess.run([sys.executable, script], env=environment(sink.endpoint), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert arguments(sink) == Counter(["parent", "0", "1", "2"])
    assert_whole(sink)


def run(code, endpoint, **more):
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(endpoint, **more), capture_output=True, text=True, timeout=120
    )


FORKS_WHILE_SENDING = AGENT + (
    "import os\n"
    "from clew import _runtime\n"
    "def end():\n"
    "    clew.flush(60); os.write(1, b'%d\\n' % _runtime._queue.dropped)\n"
    "for number in range(20):\n"
    "    for _ in range(30): tool('x' * 1000 + str(number))\n"
    "    child = os.fork()\n"
    "    if not child:\n"
    "        agent(f'child {number}'); end(); os._exit(0)\n"
    "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    "end()\n"
)


def test_fork_in_the_middle_of_an_export_over_http_harms_neither():
    with trace_sink() as sink, http_door(sink) as door:
        done = run(FORKS_WHILE_SENDING, door, OTEL_BSP_SCHEDULE_DELAY="1", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "0\n" * 21)
    found = arguments(sink)
    assert found.total() == 20 * 31
    assert all(found[f"child {number}"] == 1 for number in range(20))
    assert_whole(sink)


def test_fork_in_the_middle_of_a_grpc_call_loses_nothing_unsaid(sink):
    """A fork may cut off a call of gRPC's: it is then made again with the same spans, or given up and counted."""
    done = run(FORKS_WHILE_SENDING, sink.endpoint, OTEL_BSP_SCHEDULE_DELAY="1")
    assert done.returncode == 0
    arrived = {(span.trace_id, span.span_id) for span in ended(sink) if span.name == "execute_tool tool"}
    lost = sum(int(line) for line in done.stdout.splitlines())
    assert len(arrived) <= 20 * 31 <= len(arrived) + lost


def test_fork_while_the_receiver_hangs_harms_neither():
    hang = threading.Event()
    with trace_sink(sink=TraceSink(hang=hang)) as hanging:
        code = AGENT + (
            "import os, time\n"
            "tool('parent'); clew.flush(1)\n"
            "if not os.fork():\n"
            "    tool('child'); print(clew.flush(1)); os._exit(0)\n"
            "os.wait(); print('parent goes on')\n"
        )
        done = run(code, hanging.endpoint)
        hang.set()
    assert done.returncode == 0
    assert done.stdout == "False\nparent goes on\n"


def test_span_that_is_open_at_a_fork_is_its_parents(sink):
    code = AGENT + (
        "import os\n"
        "with clew.step('act', name='around'):\n"
        "    child = os.fork()\n"
        "    tool('child' if not child else 'parent')\n"
        "if child: os.waitpid(child, 0)\n"
    )
    done = run(code, sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert Counter(span.name for span in sink.spans) == Counter({"execute_tool tool": 2, "step around": 1})
    [around] = [span for span in sink.spans if span.name == "step around"]
    assert {span.parent_span_id for span in sink.spans if span.name != "step around"} == {around.span_id}


def test_prefork_worker_that_is_told_to_stop_sends_first(sink):
    """As Celery's pool does: children are forked ahead, work, and get SIGTERM."""
    code = AGENT + (
        "import os, signal, time\n"
        "tool('parent')\n"
        "ready, tell = os.pipe()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    agent('child'); os.write(tell, b'x'); time.sleep(600)\n"
        "os.read(ready, 1); os.kill(child, signal.SIGTERM)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = run(code, sink.endpoint, OTEL_BSP_SCHEDULE_DELAY="60000")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{-signal.SIGTERM}\n"
    assert arguments(sink) == Counter(["parent", "child"])
    assert_whole(sink)
