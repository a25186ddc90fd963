"""A run goes on in other processes, whatever starts them: real processes, a real receiver, real MCP servers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.processor import processor
from shared.trace_sink import TraceSink, attributes, trace_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACEPARENT = f"00-{7:032x}-{9:016x}-01"
AGENT = """
import clew
clew.init("caller")

@clew.tool
def look_up(key="k"):
    return key

@clew.agent(name="caller")
def caller(hand_on):
    with clew.step("act"):
        return hand_on()
"""
MAIN = """
if __name__ == "__main__":
    with clew.baggage(conversation="c1", user="u1", budget="desk", budget_limit=2):
        caller(hand_on)
"""
CALLERS = ("invoke_agent caller", "step act")
INHERITED = {"gen_ai.conversation.id": "c1", "user.id": "u1", "clew.budget.name": "desk", "clew.budget.limit": 2.0}


@pytest.fixture
def sink() -> Iterator[TraceSink]:
    with trace_sink() as sink:
        yield sink


def environment(sink, **more):
    foreign = ("CLEW_", "OTEL_", "TRACE", "BAGGAGE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    local = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    ours = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "CLEW_START_RECORDS": "off"}  # each span once
    return kept | local | ours | more


def run(tmp_path: Path, code: str, sink, *command: str, **more: str) -> str:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(code))
    done = subprocess.run(
        [*(command or (sys.executable,)), str(program)],
        cwd=tmp_path,
        env=environment(sink, **more),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lineage(sink, name) -> list[str]:
    """Names from the only span called so up to its root; all of them in one trace."""
    spans = {span.span_id: span for span in sink.spans}
    assert len({span.trace_id for span in spans.values()}) == 1
    span = sink.named(name)
    above = [span.name]
    while span.parent_span_id:
        span = spans[span.parent_span_id]
        above.append(span.name)
    return above


def assert_inherited(sink, *names):
    for name in names:
        said = attributes(sink.named(name))
        assert INHERITED.items() <= said.items(), (name, said)


CHILD = """
import clew.auto, clew

@clew.agent(name="child")
def child():
    with clew.step("observe"):
        pass
child()
"""

STARTS = """
import asyncio, os, subprocess, sys
child = [sys.executable, "child.py"]

async def aio():
    await (await asyncio.create_subprocess_exec(*child)).wait()

def by_hand():
    process = os.posix_spawn(child[0], child, {**os.environ, **clew.environment()})
    os.waitpid(process, 0)

places = [-1, None, None, None, None, None, True, False, None, {"PATH": os.environ["PATH"], **SETTINGS}]
for start in (
    lambda: subprocess.run(child, check=True),
    lambda: subprocess.check_call(" ".join(child), shell=True),
    lambda: subprocess.Popen(child, env={**os.environ, "X": "1"}).wait(),
    lambda: subprocess.Popen(child, *places).wait(),
    lambda: subprocess.check_call([sys.executable, "-m", "clew.cli", "run", "--", "child.py"]),
    lambda: asyncio.run(aio()),
    by_hand,
):
    before = dict(os.environ)
    with clew.baggage(conversation="c1", user="u1", budget="desk", budget_limit=2):
        caller(start)
    assert dict(os.environ) == before
"""


def test_process_started_in_a_run_joins_it(sink, tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    settings = {name: value for name, value in environment(sink).items() if name.startswith(("OTEL_", "CLEW_"))}
    run(tmp_path, AGENT + STARTS.replace("SETTINGS", repr(settings)), sink)
    spans = {span.span_id: span for span in sink.spans}
    runs = {span.trace_id: [] for span in spans.values()}
    for span in spans.values():
        runs[span.trace_id].append((span.name, spans[span.parent_span_id].name if span.parent_span_id else None))
        assert INHERITED.items() <= attributes(span).items()
        assert attributes(span)["gen_ai.agent.name"] == ("caller" if span.name in CALLERS else "child")
    assert [sorted(one) for one in runs.values()] == 7 * [
        [
            ("invoke_agent caller", None),
            ("invoke_agent child", "step act"),
            ("step act", "invoke_agent caller"),
            ("step observe", "invoke_agent child"),
        ]
    ]


def test_process_started_outside_of_any_run_or_told_otherwise_is_on_its_own(sink, tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    code = """
import os, subprocess, sys
child = [sys.executable, "child.py"]
def hand_on():
    subprocess.check_call(child, env={**os.environ, "TRACEPARENT": ""})
    subprocess.check_call(child, env={**os.environ, "TRACEPARENT": f"00-{7:032x}-{9:016x}-01"})
if __name__ == "__main__":
    caller(hand_on)
    subprocess.check_call(child)
"""
    run(tmp_path, AGENT + code, sink)
    children = [span for span in sink.spans if span.name == "invoke_agent child"]
    caller = sink.named("invoke_agent caller")
    assert [int.from_bytes(span.parent_span_id) for span in children] == [0, 9, 0]
    assert len({span.trace_id for span in [*children, caller]}) == 4


def test_process_of_a_process_has_its_own_parent_and_not_its_grandparent(sink, tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "middle.py").write_text("""
import clew.auto, clew, os, subprocess, sys
with clew.step("route"):
    subprocess.check_call([sys.executable, "child.py"], env=dict(os.environ))
""")
    code = """
import subprocess, sys
def hand_on():
    subprocess.check_call([sys.executable, "middle.py"])
"""
    run(tmp_path, AGENT + code + MAIN, sink)
    assert lineage(sink, "invoke_agent child") == [
        "invoke_agent child",
        "step route",
        "step act",
        "invoke_agent caller",
    ]
    assert_inherited(sink, "invoke_agent child", "step route")
    # The process in the middle is no agent: what it does is the caller's.
    assert attributes(sink.named("step route"))["gen_ai.agent.name"] == "caller"


@pytest.mark.parametrize("command", [(), (sys.executable, "-m", "clew.cli", "run", "--")], ids=["import", "clew run"])
def test_run_is_joined_from_the_environment(sink, tmp_path, command):
    code = CHILD if not command else CHILD.replace("import clew.auto, clew", "import clew")
    run(tmp_path, code, sink, *command, TRACEPARENT=TRACEPARENT, BAGGAGE="user.id=u1,team=desk", TRACESTATE="a=b")
    agent = sink.named("invoke_agent child")
    assert (int.from_bytes(agent.trace_id), int.from_bytes(agent.parent_span_id)) == (7, 9)
    assert agent.trace_state == "a=b"
    assert attributes(agent)["user.id"] == "u1"


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 100_000])
def test_hostile_environment_changes_nothing(sink, tmp_path, traceparent):
    run(tmp_path, CHILD, sink, TRACEPARENT=traceparent, BAGGAGE="=;,=" * 2000)
    assert sink.named("invoke_agent child").parent_span_id == b""


@pytest.mark.parametrize("propagators", ["none", "b3"])
def test_processes_are_joined_whatever_propagators_others_use(sink, tmp_path, propagators):
    """`b3` is not installed here, and OpenTelemetry raises because of that."""
    (tmp_path / "program.py").write_text(CHILD)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment(sink, TRACEPARENT=TRACEPARENT, OTEL_PROPAGATORS=propagators),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert ("OTEL_PROPAGATORS" in done.stderr) == (propagators == "b3")
    assert int.from_bytes(sink.named("invoke_agent child").trace_id) == 7


def test_run_that_is_not_sampled_is_said_to_be_the_reason(sink, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(program)],
        env=environment(sink, TRACEPARENT=TRACEPARENT.removesuffix("1") + "0"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "is not sampled: it is not recorded either" in done.stderr
    assert not sink.spans


METHODS = ("fork", "spawn", "forkserver")
WORKERS = """
import asyncio, multiprocessing
from concurrent.futures import ProcessPoolExecutor

context = multiprocessing.get_context(METHOD)

def work(name):
    with clew.step("observe", name=name):
        return name

class Worker(context.Process):
    def run(self):
        work("subclass")

def process():
    process = context.Process(target=work, args=("process",))
    process.start()
    process.join()
    assert process.exitcode == 0

def subclass():
    worker = Worker()
    worker.start()
    worker.join()

def executor():
    assert list(pool.map(work, ["executor"])) == ["executor"]

def loop():
    async def aio():
        assert await asyncio.get_running_loop().run_in_executor(pool, work, "loop") == "loop"
    asyncio.run(aio())

def old_pool():
    assert others.map(work, ["old_pool"]) == ["old_pool"]
    assert list(others.imap(work, ["imap"])) == ["imap"]

if __name__ == "__main__":
    INIT
    with ProcessPoolExecutor(1, mp_context=context) as pool, context.Pool(1) as others:
        for hand_on in (process, subclass, executor, loop, old_pool):
            with clew.baggage(conversation=hand_on.__name__, user="u1"):
                caller(hand_on)
        pool.submit(work, "nobody's").result()
        others.apply(work, ("nobody's either",))
        others.close()
        others.join()
"""


@pytest.mark.parametrize("init_in_main", [False, True], ids=["everywhere", "in the main block"])
@pytest.mark.parametrize("method", METHODS)
def test_worker_process_joins_the_run_of_each_call(sink, tmp_path, method, init_in_main):
    init = 'clew.init("desk")\n'
    code = AGENT.replace('clew.init("caller")\n', "" if init_in_main else init) + WORKERS
    run(tmp_path, code.replace("METHOD", repr(method)).replace("INIT", init if init_in_main else ""), sink)
    spans = {span.span_id: span for span in sink.spans}
    seen = {}
    for span in spans.values():
        if span.name in CALLERS:
            continue
        said = attributes(span)
        above = spans[span.parent_span_id] if span.parent_span_id else None
        assert above is None or (above.name, above.trace_id) == ("step act", span.trace_id)
        assert (above is None) == ("user.id" not in said) == ("gen_ai.agent.name" not in said)
        seen[span.name.removeprefix("step ")] = said.get("gen_ai.conversation.id")
    assert seen == {
        "process": "process",
        "subclass": "subclass",
        "executor": "executor",
        "loop": "loop",
        "old_pool": "old_pool",
        "imap": "old_pool",
        "nobody's": None,
        "nobody's either": None,
    }
    assert len({span.trace_id for span in spans.values()}) == 7
    services = {
        attributes(resource.resource)["service.name"] for sent in sink.requests for resource in sent.resource_spans
    }
    assert services == {"desk"}


def test_processes_work_as_ever_where_clew_is_off(tmp_path, sink):
    code = WORKERS.replace("METHOD", "'spawn'").replace("INIT", "print('done')")
    assert run(tmp_path, AGENT + code, sink, OTEL_SDK_DISABLED="true") == "done\n"
    assert not sink.spans


# MCP

SERVER = """
import clew.auto, clew, sys, threading
from mcp.server.mcpserver import MCPServer

server = MCPServer("orders")

@clew.tool
def read_database(key):
    return key

@server.tool()
def look_up_order(order_id: str) -> str:
    "Where an order is."
    thread = threading.Thread(target=read_database, args=(order_id,))
    thread.start()
    thread.join()
    return "dispatched"

if sys.argv[1:]:
    server.run(transport="streamable-http", port=int(sys.argv[1]))
else:
    server.run()
"""
CLIENT = """
import clew.auto, clew, asyncio, os, sys
from mcp import Client
from mcp.client.stdio import StdioServerParameters

@clew.agent(name="caller")
async def ask(client, conversation):
    with clew.step("act"):
        result = await client.call_tool("look_up_order", {"order_id": "A-1"})
        assert result.content[0].text == "dispatched", result

async def main(target):
    async with Client(target) as client:
        for conversation in CONVERSATIONS:
            with clew.baggage(conversation=conversation, user="u1", budget="desk", budget_limit=2):
                await ask(client, conversation)
"""
STDIO = """
env = {name: value for name, value in os.environ.items() if name.startswith(("OTEL_", "CLEW_"))}
asyncio.run(main(StdioServerParameters(command=sys.executable, args=["server.py"], env=env)))
"""


def test_mcp_server_over_stdio_joins_each_run(sink, tmp_path):
    (tmp_path / "server.py").write_text(SERVER)
    run(tmp_path, CLIENT.replace("CONVERSATIONS", "('c1', 'c2')") + STDIO, sink)
    spans = {span.span_id: span for span in sink.spans}
    tools = [span for span in spans.values() if span.name == "execute_tool read_database"]
    seen = Counter()
    for span in tools:
        said = attributes(span)
        assert (said["user.id"], said["clew.budget.name"], said["gen_ai.agent.name"]) == ("u1", "desk", "caller")
        above = []
        while span.parent_span_id:
            span = spans[span.parent_span_id]  # noqa: PLW2901
            above.append(span.name)
        assert above == [
            "tools/call look_up_order",
            "MCP send tools/call look_up_order",
            "step act",
            "invoke_agent caller",
        ]
        assert attributes(span)["gen_ai.conversation.id"] == said["gen_ai.conversation.id"]
        seen[said["gen_ai.conversation.id"]] += 1
    assert seen == {"c1": 1, "c2": 1}


@pytest.fixture
def http_server(sink, tmp_path):
    """The MCP server over streamable HTTP, started outside of any run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "server.py").write_text(SERVER)
    process = subprocess.Popen(
        [sys.executable, "server.py", str(port)], cwd=tmp_path, env=environment(sink), stderr=subprocess.PIPE, text=True
    )
    assert any("running on" in line for line in process.stderr)
    yield port, process
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.parametrize("own", [True, False], ids=["own host", "any other host"])
def test_mcp_server_over_http_joins_the_run_and_learns_who_it_is_for_only_if_it_is_our_own(
    sink, tmp_path, http_server, own
):
    port, process = http_server
    foreign = "" if own else "import clew._propagate.http\nclew._propagate.http._is_this_machine = lambda name: False\n"
    code = CLIENT.replace("CONVERSATIONS", "('c1',)") + foreign + f"asyncio.run(main('http://127.0.0.1:{port}/mcp'))"
    run(tmp_path, code, sink)
    process.terminate()
    process.wait(30)
    tool = sink.named("execute_tool read_database")
    above, spans = [], {span.span_id: span for span in sink.spans}
    span = tool
    while span.parent_span_id:
        span = spans[span.parent_span_id]
        above.append(span.name)
    assert above[0] == "tools/call look_up_order"
    assert above[-2:] == ["step act", "invoke_agent caller"]
    said = attributes(tool)
    if own:
        assert INHERITED.items() <= said.items()
    else:
        assert not set(INHERITED) & set(said)


# HTTP


def test_documented_sub_agent_behind_http_joins_the_run(sink, tmp_path):
    page = (Path(__file__).parents[2] / "docs/propagation.md").read_text("utf-8")
    _, server, caller = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (tmp_path / "researcher.py").write_text(server.replace("8765", port))
    process = subprocess.Popen(
        [sys.executable, "researcher.py"], cwd=tmp_path, env=environment(sink), stderr=subprocess.PIPE, text=True
    )
    try:
        assert any("running on" in line for line in process.stderr)
        assert run(tmp_path, caller.replace("8765", port), sink) == "nothing is known about labyrinths\n"
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert lineage(sink, "invoke_agent researcher") == ["invoke_agent researcher", "invoke_agent caller"]
    said = attributes(sink.named("invoke_agent researcher"))
    assert (said["gen_ai.conversation.id"], said["user.id"]) == ("c-17", "u-4")


# All of it

BRAIN = """
import clew, asyncio, sys, os
from mcp import Client
from mcp.client.stdio import StdioServerParameters

@clew.agent(name="researcher")
async def researcher():
    env = {name: value for name, value in os.environ.items() if name.startswith(("OTEL_", "CLEW_"))}
    target = StdioServerParameters(command=sys.executable, args=["server.py"], env=env)
    async with Client(target) as client:
        await client.call_tool("look_up_order", {"order_id": "A-1"})

asyncio.run(researcher())
"""


def test_a_long_chain_is_one_run_of_one_user_and_conversation(tmp_path):
    """Agent, worker process, `clew run`, agent, MCP server, thread: told by the processor's table of runs."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "brain.py").write_text(BRAIN)
    code = """
    import multiprocessing, subprocess, sys
    def work():
        subprocess.check_call([sys.executable, "-m", "clew.cli", "run", "--service", "brain", "--", "brain.py"])
    def hand_on():
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
        assert process.exitcode == 0
    """
    with processor(tmp_path / "processor") as running:
        receiver = TraceSink(port=int(running.grpc.rpartition(":")[2]))
        run(tmp_path, AGENT + textwrap.dedent(code) + MAIN, receiver, CLEW_START_RECORDS="on")
        running.settled()
        [row] = running.rows("""
            SELECT agent_name, conversation_id, user_id, service_name, status, steps, errors FROM clew.runs
        """)
        assert row == ("caller", "c1", "u1", "caller", "ok", 1, 0)
        tools = running.rows("""
            SELECT AgentName, ConversationId, UserId, SpanAttributes['clew.budget.name'] FROM clew.otel_traces
            WHERE ToolName IN ('look_up_order', 'read_database')
        """)
        assert set(tools) == {("researcher", "c1", "u1", "desk")}
        above = dict(running.rows("SELECT SpanId, ParentSpanId FROM clew.otel_traces"))
        names = dict(running.rows("SELECT SpanId, SpanName FROM clew.otel_traces"))
    [span] = [span for span, name in names.items() if name == "execute_tool read_database"]
    chain = []
    while span:
        chain.append(names[span])
        span = above[span]
    assert chain == [
        "execute_tool read_database",
        "tools/call look_up_order",
        "MCP send tools/call look_up_order",
        "invoke_agent researcher",
        "step act",
        "invoke_agent caller",
    ]
