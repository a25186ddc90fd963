"""A run goes on in threads, tasks and over HTTP, and what is known of it goes along, to its own hosts only."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing.dummy
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.pool import ThreadPool

import httpx
import httpx2
import pytest
import requests
from opentelemetry import baggage as otel_baggage
from opentelemetry import propagate, trace
from opentelemetry.context import attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import clew
from clew import _guard
from clew._propagate import carrier as _carrier
from clew._propagate import http as _http
from clew.testing import record

elsewhere = trace.get_tracer("elsewhere")
TRACEPARENT = f"00-{7:032x}-{9:016x}-01"


@clew.tool
def look_up():
    return trace.get_current_span().get_span_context().trace_id


def inside(hand_on):
    """An agent that has `look_up` called by other means, and its step."""

    @clew.agent(name="agent")
    def run():
        with clew.step("act"):
            return hand_on()

    return run()


TREE = """
    invoke_agent agent
      step act
        execute_tool look_up
"""


def in_thread(function=look_up, **kind):
    thread = threading.Thread(target=function, **kind)
    thread.start()
    thread.join()


def by_timer():
    timer = threading.Timer(0, look_up)
    timer.start()
    timer.join()


def by_subclass():
    class Worker(threading.Thread):
        def run(self):
            look_up()

    worker = Worker()
    worker.start()
    worker.join()


def in_pool():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(look_up).result()


def by_map():
    with ThreadPoolExecutor(1) as pool:
        list(pool.map(lambda _: look_up(), [1]))


def in_dummy_process():
    process = multiprocessing.dummy.Process(target=look_up)
    process.start()
    process.join()


def in_old_pool():
    with ThreadPool(1) as pool:
        pool.map(lambda _: look_up(), [1])


@pytest.mark.parametrize("hand_on", [in_thread, by_timer, by_subclass, in_pool, by_map, in_old_pool, in_dummy_process])
def test_thread_started_inside_a_span_stays_inside_it(recorded, hand_on):
    inside(hand_on)
    recorded.assert_tree(TREE)


async def sub_agent():
    await asyncio.sleep(0)
    look_up()


async def by_task():
    await asyncio.create_task(sub_agent())


async def by_task_group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sub_agent())


async def by_to_thread():
    await asyncio.to_thread(look_up)


async def by_default_executor():
    await asyncio.get_running_loop().run_in_executor(None, look_up)


async def from_a_thread_into_the_loop():
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(sub_agent(), loop).result())


async def in_a_loop_of_a_thread():
    await asyncio.to_thread(lambda: in_thread(lambda: asyncio.run(sub_agent())))


@pytest.mark.parametrize(
    "hand_on",
    [by_task, by_task_group, by_to_thread, by_default_executor, from_a_thread_into_the_loop, in_a_loop_of_a_thread],
)
async def test_task_started_inside_a_span_stays_inside_it(recorded, hand_on):
    @clew.agent(name="agent")
    async def run():
        with clew.step("act"):
            await hand_on()

    await run()
    recorded.assert_tree(TREE)


def test_thread_started_outside_of_any_run_has_none(recorded):
    in_thread()
    recorded.assert_tree("execute_tool look_up")


def worker():
    """A thread that does what it is told, one thing at a time, as libraries keep them."""
    todo: list = []
    ready, done = threading.Semaphore(0), threading.Semaphore(0)

    def work():
        while True:
            ready.acquire()
            if (job := todo.pop()) is None:
                return
            job()
            done.release()

    thread = threading.Thread(target=work)

    def tell(job):
        todo.append(job)
        ready.release()
        if job is None:
            thread.join()
        else:
            done.acquire()

    return thread, tell


def foreign(name):
    with elsewhere.start_as_current_span(name):
        pass


def test_thread_that_outlives_its_run_is_no_part_of_it_any_more(recorded):
    thread, tell = worker()

    @clew.agent(name="first")
    def first():
        with clew.step("act"):
            thread.start()
        tell(lambda: foreign("during"))
        tell(look_up)

    first()
    tell(lambda: foreign("after"))
    tell(look_up)
    tell(None)
    recorded.assert_tree("""
        invoke_agent first
          step act
            during
          execute_tool look_up
        after
        execute_tool look_up
    """)
    assert len(recorded.trace_ids()) == 3


def test_thread_that_outlives_a_foreign_span_is_no_part_of_it_any_more(recorded):
    thread, tell = worker()
    with elsewhere.start_as_current_span("request") as request:
        thread.start()
        tell(lambda: trace.get_current_span().set_attribute("seen", True))
        tell(lambda: foreign("during"))
    tell(lambda: foreign("after"))
    tell(None)
    recorded.assert_tree("request [seen=true]\n  during\nafter")
    assert not request.is_recording()


def test_pool_whose_first_call_came_from_a_run_serves_others_too(recorded):
    with ThreadPoolExecutor(1) as pool:
        inside(lambda: pool.submit(look_up).result())
        pool.submit(look_up).result()
        inside(lambda: pool.submit(look_up).result())
    recorded.assert_tree(TREE + "\n    execute_tool look_up\n" + TREE)


def test_thread_is_freed_when_it_has_run(recorded):
    def run():
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()
        assert "run" not in vars(thread)
        return weakref.ref(thread)

    gc.disable()
    try:
        assert inside(run)() is None
    finally:
        gc.enable()


def test_thread_that_cannot_be_started_is_left_as_it_was(recorded):
    def run():
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="only be started once"):
            thread.start()
        return thread

    assert "run" not in vars(inside(run))
    recorded.assert_tree(TREE)


def test_what_goes_to_another_interpreter_is_not_touched(recorded):
    class InterpreterPoolExecutor(ThreadPoolExecutor):  # stands for Python 3.14's, which pickles what it is given
        pass

    def run():
        with InterpreterPoolExecutor(1) as pool:
            pool.submit(look_up).result()

    inside(run)
    recorded.assert_tree("invoke_agent agent\n  step act\nexecute_tool look_up")


def test_exception_in_a_thread_goes_where_it_always_went(recorded, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: seen.append(hook.exc_type))
    inside(lambda: in_thread(lambda: 1 / 0))
    assert seen == [ZeroDivisionError]


def test_everything_is_as_before_when_a_recording_is_over():
    before = (threading.Thread.start, ThreadPoolExecutor.submit, httpx.Client._send_single_request)
    with record():
        assert threading.Thread.start is not before[0]
    assert (threading.Thread.start, ThreadPoolExecutor.submit, httpx.Client._send_single_request) == before


def test_what_somebody_else_has_put_around_it_since_is_left_in_place():
    before = threading.Thread.start
    try:
        with record():
            ours = threading.Thread.start
            threading.Thread.start = lambda self: ours(self) or None
            theirs = threading.Thread.start
        assert threading.Thread.start is theirs
        in_thread()
    finally:
        threading.Thread.start = before


def test_failure_of_clew_itself_does_not_keep_a_thread_from_starting(recorded, monkeypatch, caplog):
    monkeypatch.setattr(_guard, "strict", False)
    monkeypatch.setattr("clew._propagate.threads._while_the_run_lasts", lambda _: 1 / 0)
    inside(in_thread)
    recorded.assert_tree("invoke_agent agent\n  step act\nexecute_tool look_up")
    assert "handing a run on to a thread" in caplog.text


# What goes along


def test_baggage_is_on_every_genai_span_inside_wherever_it_runs(recorded):
    with clew.baggage(
        conversation="c-17", user="u-4", budget="desk", budget_kind="cost", budget_limit=2, budget_unit="{USD}"
    ):
        inside(in_thread)
    with clew.step("act", name="after"):
        pass
    said = {
        "gen_ai.conversation.id": "c-17",
        "user.id": "u-4",
        "clew.budget.name": "desk",
        "clew.budget.kind": "cost",
        "clew.budget.limit": 2.0,
        "clew.budget.unit": "{USD}",
    }
    for name in ("invoke_agent agent", "step act", "execute_tool look_up"):
        recorded.assert_attributes(name, said)
    recorded.assert_attributes("step after", dict.fromkeys(said))


def test_inner_baggage_wins_and_what_a_span_says_itself_wins_over_both(recorded):
    with clew.baggage(conversation="c1", user="u1"), clew.step("act", name="outer"):
        with clew.baggage(conversation="c2"), clew.step("act", name="inner"):
            pass
        own = {"gen_ai.conversation.id": "c3", "gen_ai.operation.name": "chat"}
        with elsewhere.start_as_current_span("own", attributes=own), clew.step("act", name="below"):
            pass
    conversations = {span.name: span.attributes["gen_ai.conversation.id"] for span in recorded}
    assert conversations == {"step outer": "c1", "step inner": "c2", "own": "c3", "step below": "c3"}
    assert {span.attributes["user.id"] for span in recorded} == {"u1"}


def test_baggage_around_an_agent_does_not_hide_an_agent_inside(recorded):
    inner = clew.agent(name="inner")(look_up)

    @clew.agent(name="outer")
    def outer():
        with clew.baggage(user="u1"):
            inner()
            look_up()

    outer()
    tools = [span for span in recorded if span.name == "execute_tool look_up"]
    assert [span.attributes["gen_ai.agent.name"] for span in tools] == ["inner", "outer"]


@pytest.mark.parametrize("bad", ["", "x" * 257, "a\nb", "\0"])
def test_value_that_cannot_be_handed_on_is_not_recorded_and_said_once(recorded, caplog, bad):
    for _ in range(2):
        with clew.baggage(user=bad, conversation="c1", budget_limit=float("nan")):
            look_up()
    [_, *again] = [entry for entry in caplog.records if "user.id=" in entry.getMessage()]
    assert not again
    for span in recorded:
        assert span.attributes["gen_ai.conversation.id"] == "c1"
        assert not {"user.id", "clew.budget.limit"} & set(span.attributes)


def test_run_is_handed_on_by_hand_and_joined(recorded):
    handed = []

    @clew.agent(name="caller", version="2")
    def caller():
        with clew.baggage(conversation="c1", user="ü 1", budget_limit=1.5):
            handed.append(clew.headers())

    caller()
    assert trace.get_current_span() is trace.INVALID_SPAN
    with clew.joined(handed[0]), clew.step("act"):
        look_up()
    recorded.assert_attributes(
        "step act",
        {
            "gen_ai.agent.name": "caller",
            "gen_ai.agent.version": "2",
            "gen_ai.conversation.id": "c1",
            "user.id": "ü 1",
            "clew.budget.limit": 1.5,
            "clew.step.index": None,
        },
    )
    recorded.assert_tree("invoke_agent caller\n  step act\n    execute_tool look_up")
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_environment_is_the_same_in_capitals_and_is_joined_as_well(recorded):
    with clew.step("plan"):
        handed, environment = clew.headers(), clew.environment()
        assert environment == {name.upper(): value for name, value in handed.items()}
    with clew.joined(environment):
        look_up()
    recorded.assert_tree("step plan\n  execute_tool look_up")
    assert clew.headers() == clew.environment() == {}


def test_joining_inside_a_span_is_no_part_of_it(recorded):
    @clew.agent(name="server")
    def server():
        with clew.joined({"Traceparent": TRACEPARENT}), clew.step("act") as step:
            assert step.span.parent.span_id == 9
            assert step.span.get_span_context().trace_id == 7
        look_up()

    server()
    recorded.assert_tree("invoke_agent server\n  execute_tool look_up\nstep act")
    recorded.assert_attributes("step act", {"gen_ai.agent.name": None, "clew.step.index": None})


def test_headers_that_iterate_as_pairs_are_joined_as_well(recorded):
    class Headers(dict):
        def __iter__(self):
            return iter(self.items())

    with clew.joined(Headers({"Traceparent": TRACEPARENT})):
        look_up()
    assert recorded.trace_ids() == {7}


HOSTILE = [
    {},
    {"traceparent": ""},
    {"traceparent": "00-0-0-00"},
    {"traceparent": f"00-{0:032x}-{1:016x}-01"},
    {"traceparent": f"ff-{1:032x}-{1:016x}-01"},
    {"traceparent": TRACEPARENT + "-" + "x" * 100_000},
    {"traceparent": None, "baggage": 5, 7: 8},
    {"baggage": "x" * 1_000_000},
    {"baggage": ",".join(f"k{number}=v" for number in range(100_000))},
    {"baggage": "=,=;,,user.id,user.id=,user.id=%00%0a,gen_ai.conversation.id=" + "x" * 3000},
    {"baggage": "user.id=%ff%fe\ud800"},
    {"baggage": "clew.budget.limit=nan,clew.budget.limit=-1,clew.budget.limit=1e999"},
    {"tracestate": "x=" * 5000},
]


@pytest.mark.parametrize("carrier", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_malformed_or_too_long_is_ignored(recorded, caplog, carrier):
    caplog.set_level(logging.DEBUG)
    with clew.joined(carrier):
        look_up()
    [span] = recorded
    assert span.parent is None
    assert not {"user.id", "gen_ai.conversation.id", "clew.budget.limit"} & set(span.attributes)
    assert len(caplog.records) <= 2


def test_hostile_baggage_does_not_spoil_what_is_good(recorded):
    with clew.joined({"traceparent": TRACEPARENT, "baggage": "a=" + "x" * 5000 + ",user.id=u1,gen_ai.agent.name=%0a"}):
        look_up()
    [span] = recorded
    assert span.parent.span_id == 9
    assert span.attributes["user.id"] == "u1"
    assert "gen_ai.agent.name" not in span.attributes


def test_what_came_with_one_trace_is_not_put_on_another(recorded):
    with clew.joined({"traceparent": TRACEPARENT, "baggage": "user.id=u1"}):
        token = attach(TraceContextTextMapPropagator().extract({"traceparent": f"00-{8:032x}-{9:016x}-01"}))
        look_up()
        detach(token)
    recorded.assert_attributes("execute_tool look_up", {"user.id": None})
    assert recorded.trace_ids() == {8}


# Over HTTP


class _Host(BaseHTTPRequestHandler):
    seen: list

    def do_GET(self):
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(307 if self.path.startswith("/to/") else 200)
        if self.path.startswith("/to/"):
            self.send_header("Location", f"http://{self.path.removeprefix('/to/')}:{self.server.server_port}/there")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def host(monkeypatch):
    """A host on this machine; only `localhost` counts as the programme's own, `127.0.0.1` is anybody's."""
    monkeypatch.setattr(_http, "_own_hosts", ("localhost",))
    monkeypatch.setattr(_http, "_is_this_machine", lambda _: False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "localhost,127.0.0.1")
    handler = type("Host", (_Host,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, handler.seen
    server.shutdown()
    thread.join()
    server.server_close()


def with_httpx(module):
    def get(url):
        with module.Client(follow_redirects=True) as client:
            return client.get(url, headers={"x-own": "1"})

    return get


def with_async_httpx(module):
    async def get_async(url):
        async with module.AsyncClient(follow_redirects=True) as client:
            return await client.get(url)

    return lambda url: asyncio.run(get_async(url))


CLIENTS = {
    "httpx": with_httpx(httpx),
    "httpx async": with_async_httpx(httpx),
    "httpx2": with_httpx(httpx2),
    "httpx2 async": with_async_httpx(httpx2),
    "requests": requests.get,
}
HANDED_ON = {"traceparent", "tracestate", "baggage"}


@pytest.mark.parametrize("get", CLIENTS.values(), ids=CLIENTS)
def test_own_host_is_handed_the_run(recorded, host, get):
    port, seen = host
    with clew.baggage(user="u1"):
        inside(lambda: get(f"http://localhost:{port}/"))
    step = recorded.named("step act").context
    [(_, headers)] = seen
    assert headers["traceparent"] == f"00-{step.trace_id:032x}-{step.span_id:016x}-{step.trace_flags:02x}"
    assert sorted(headers["baggage"].split(",")) == ["gen_ai.agent.name=agent", "user.id=u1"]


@pytest.mark.parametrize("get", CLIENTS.values(), ids=CLIENTS)
def test_any_other_host_learns_nothing(recorded, host, get):
    port, seen = host
    with clew.baggage(user="u1"):
        inside(lambda: get(f"http://127.0.0.1:{port}/"))
    [(_, headers)] = seen
    assert not HANDED_ON & set(headers)


@pytest.mark.parametrize("get", CLIENTS.values(), ids=CLIENTS)
def test_redirect_to_another_host_takes_nothing_along(recorded, host, get):
    port, seen = host
    with clew.baggage(user="u1"):
        inside(lambda: get(f"http://localhost:{port}/to/127.0.0.1"))
    (_, first), (path, second) = seen
    assert path == "/there"
    assert HANDED_ON & set(first) == {"traceparent", "baggage"}
    assert not HANDED_ON & set(second)


@pytest.mark.parametrize("get", CLIENTS.values(), ids=CLIENTS)
def test_request_outside_of_any_run_is_left_alone(recorded, host, get):
    port, seen = host
    get(f"http://localhost:{port}/")
    [(_, headers)] = seen
    assert not HANDED_ON & set(headers)


def test_what_the_programme_says_itself_stays(recorded, host):
    port, seen = host
    inside(lambda: httpx.get(f"http://localhost:{port}/", headers={"traceparent": TRACEPARENT}))
    [(_, headers)] = seen
    assert headers["traceparent"] == TRACEPARENT


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("Agents.Internal.", True),
        ("a.svc.cluster.local", True),
        ("api.openai.com", False),
        ("agents.internal.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("", False),
        (None, False),
    ],
)
def test_only_this_machine_and_what_is_listed_is_own(monkeypatch, host, own):
    monkeypatch.setattr(_http, "_own_hosts", ())
    _http.set_own_hosts(("agents.internal", "*.svc.cluster.local"))
    assert _http.is_own(host) is own


@pytest.fixture
def propagator():
    before = propagate.get_global_textmap()
    _carrier.install_propagator()
    _carrier.install_propagator()
    yield
    propagate.set_global_textmap(before)


def test_instrumentations_of_others_send_neither_user_nor_conversation(recorded, propagator):
    sent, own = {}, {}
    with clew.baggage(user="u1"), clew.step("act"):
        token = attach(otel_baggage.set_baggage("team", "desk"))
        propagate.inject(sent)
        with _carrier.to_own():
            propagate.inject(own)
        detach(token)
    assert sent["baggage"] == "team=desk"
    assert sorted(own["baggage"].split(",")) == ["team=desk", "user.id=u1"]
    assert sent["traceparent"] == own["traceparent"]


def test_what_instrumentations_of_others_receive_is_inherited_and_not_sent_on_by_them(recorded, propagator):
    token = attach(propagate.extract({"traceparent": TRACEPARENT, "baggage": "team=desk,user.id=u1"}))
    look_up()
    sent = {}
    propagate.inject(sent)
    detach(token)
    recorded.assert_attributes("execute_tool look_up", {"user.id": "u1"})
    assert sent["baggage"] == "team=desk"
