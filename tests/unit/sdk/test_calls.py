"""One trace, whatever kind of function is decorated, and however it ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import clew
from shared.spans import parents

tracer = trace.get_tracer("somebody else")
AGENT = "invoke_agent agent"


@pytest.fixture(autouse=True)
def nothing_fails_to_detach(caplog):
    """OpenTelemetry logs, and swallows, a context that is detached where it was not attached."""
    caplog.set_level(logging.WARNING, "opentelemetry.context")
    yield
    assert not [record for record in caplog.records if "detach" in record.getMessage()]


@pytest.fixture(autouse=True)
def nothing_stays_current():
    """Whatever a test does, the code after it must not run inside one of its spans."""
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN


def current_name() -> str | None:
    return getattr(trace.get_current_span(), "name", None)


@clew.tool
def look_up():
    return 1


@clew.agent(name="agent")
def function():
    with clew.step("act", name="one"):
        look_up()
    return "answer"


@clew.agent(name="agent")
async def coroutine():
    await asyncio.sleep(0)
    with clew.step("act", name="one"):
        await asyncio.sleep(0)
        look_up()
    return "answer"


@clew.agent(name="agent")
def generator():
    with clew.step("act", name="one"):
        yield 1
        look_up()
        yield 2
    return "answer"


@clew.agent(name="agent")
async def async_generator():
    await asyncio.sleep(0)
    with clew.step("act", name="one"), tracer.start_as_current_span("foreign"):
        yield 1
        await asyncio.sleep(0)
        look_up()
        yield 2


TREE = """
    invoke_agent agent
      step one
        execute_tool look_up
"""
FOREIGN_TREE = """
    invoke_agent agent
      step one
        foreign
          execute_tool look_up
"""
LEFT_EARLY = """
    invoke_agent agent [cancelled]
      step one [cancelled]
"""
FOREIGN_LEFT_EARLY = """
    invoke_agent agent [cancelled]
      step one [cancelled]
        foreign
"""


def test_function_keeps_one_trace(recorded):
    assert function() == "answer"
    recorded.assert_tree(TREE)


async def test_async_function_keeps_one_trace(recorded):
    assert await coroutine() == "answer"
    recorded.assert_tree(TREE)


def test_generator_keeps_one_trace_and_its_return_value(recorded):
    def consumer():
        return (yield from generator())

    steps = consumer()
    seen = [next(steps), next(steps)]
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert seen == [1, 2]
    assert stop.value.value == "answer"
    recorded.assert_tree(TREE)


async def test_async_generator_keeps_one_trace(recorded):
    assert [item async for item in async_generator()] == [1, 2]
    recorded.assert_tree(FOREIGN_TREE)


@pytest.mark.parametrize(
    ("function", "is_kind"),
    [
        (coroutine, inspect.iscoroutinefunction),
        (generator, inspect.isgeneratorfunction),
        (async_generator, inspect.isasyncgenfunction),
    ],
)
def test_frameworks_still_see_the_kind_of_function(function, is_kind):
    assert is_kind(function)
    assert inspect.signature(function) == inspect.signature(inspect.unwrap(function))


def test_consumer_of_a_generator_is_not_inside_its_span(recorded):
    with tracer.start_as_current_span("consumer"):
        for _ in generator():
            assert current_name() == "consumer"
            with tracer.start_as_current_span(f"work {random.random()}"):
                pass
    tree = parents(recorded)
    assert {tree[name] for name in tree if name.startswith("work")} == {"consumer"}
    assert tree[AGENT] == "consumer"


async def test_consumer_of_an_async_generator_is_not_inside_its_span(recorded):
    with tracer.start_as_current_span("consumer"):
        async for _ in async_generator():
            assert current_name() == "consumer"
    assert parents(recorded)[AGENT] == "consumer"


def test_sent_values_and_thrown_exceptions_reach_the_generator():
    @clew.agent
    def echo():
        got = None
        while True:
            try:
                got = yield got
            except KeyError as error:
                got = f"caught {error.args[0]}"

    steps = echo()
    next(steps)
    assert steps.send("hello") == "hello"
    assert steps.throw(KeyError("oops")) == "caught oops"
    steps.close()


async def test_sent_values_and_thrown_exceptions_reach_the_async_generator():
    @clew.agent
    async def echo():
        got = None
        while True:
            try:
                got = yield got
            except KeyError as error:
                await asyncio.sleep(0)
                got = f"caught {error.args[0]}"

    steps = echo()
    await anext(steps)
    assert await steps.asend("hello") == "hello"
    assert await steps.athrow(KeyError("oops")) == "caught oops"
    await steps.aclose()


def test_early_break_is_a_cancellation_and_no_error(recorded):
    for _ in generator():
        break
    gc.collect()
    for name in (AGENT, "step one"):
        assert recorded.named(name).attributes["clew.status"] == "cancelled"
        assert recorded.named(name).status.status_code is StatusCode.UNSET
        assert not recorded.named(name).events
    recorded.assert_tree(LEFT_EARLY)


async def test_early_break_of_an_async_generator_is_a_cancellation_and_no_error(recorded):
    async for _ in async_generator():
        break
    gc.collect()
    await asyncio.sleep(0.01)  # the loop closes the generator in a task of its own
    await asyncio.sleep(0.01)
    recorded.assert_tree(FOREIGN_LEFT_EARLY)
    assert recorded.named(AGENT).attributes["clew.status"] == "cancelled"
    assert recorded.named(AGENT).status.status_code is StatusCode.UNSET


async def test_cancelled_task_is_a_cancellation_and_no_error(recorded):
    @clew.agent(name="agent")
    async def waits():
        with clew.step("act", name="one"):
            await asyncio.sleep(60)

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for span in recorded:
        assert span.attributes["clew.status"] == "cancelled"
        assert span.status.status_code is StatusCode.UNSET
    recorded.assert_tree(LEFT_EARLY)


async def test_cancelled_consumer_cancels_what_the_generator_waits_for(recorded):
    @clew.agent(name="agent")
    async def waits():
        yield 1
        with clew.step("act", name="one"):
            await asyncio.sleep(60)

    async def consume():
        async for _ in waits():
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {span.attributes["clew.status"] for span in recorded} == {"cancelled"}
    recorded.assert_tree(LEFT_EARLY)


async def test_async_generator_closed_in_another_task_ends_its_spans_in_order(recorded):
    steps = async_generator()
    assert await anext(steps) == 1
    await asyncio.create_task(steps.aclose())
    recorded.assert_tree(FOREIGN_LEFT_EARLY)
    assert [span.name for span in recorded] == ["foreign", "step one", AGENT]


async def test_every_step_of_an_async_generator_may_run_in_another_task(recorded):
    steps = async_generator()
    assert await asyncio.create_task(anext(steps)) == 1
    assert await asyncio.create_task(anext(steps)) == 2
    with pytest.raises(StopAsyncIteration):
        await asyncio.create_task(anext(steps))
    recorded.assert_tree(FOREIGN_TREE)


def test_generator_closed_in_another_context_ends_its_spans(recorded):
    steps = generator()
    next(steps)
    contextvars.Context().run(steps.close)
    recorded.assert_tree(LEFT_EARLY)


def test_generator_closed_in_another_thread_ends_its_spans(recorded):
    steps = generator()
    next(steps)
    thread = threading.Thread(target=steps.close)
    thread.start()
    thread.join()
    recorded.assert_tree(LEFT_EARLY)


def test_generator_consumed_by_a_thread_pool_keeps_one_trace(recorded):
    with ThreadPoolExecutor(3) as pool:
        steps = generator()
        assert [pool.submit(next, steps).result(), pool.submit(next, steps).result()] == [1, 2]
        assert pool.submit(next, steps, "over").result() == "over"
    recorded.assert_tree(TREE)


def test_interleaved_generators_in_one_thread_stay_apart(recorded):
    @clew.agent
    def named(name):
        with clew.step("act", name=f"{name} a"):
            yield
        with clew.step("act", name=f"{name} b"):
            yield

    walks = [clew.agent(name=f"{number}")(inspect.unwrap(named))(f"{number}") for number in range(5)]
    for _ in range(3):
        for walk in walks:
            next(walk, None)
    assert len(recorded.trace_ids()) == 5
    tree = parents(recorded)
    for number in range(5):
        assert tree[f"step {number} a"] == tree[f"step {number} b"] == f"invoke_agent {number}"


async def test_two_hundred_interleaved_async_generators_stay_apart(recorded):
    def make(number):
        @clew.tool(name=f"tool {number}")
        async def use_tool():
            await asyncio.sleep(0)

        @clew.agent(name=f"{number}")
        async def stream():
            for index in range(3):
                with clew.step("iterate", name=f"{number}.{index}"), tracer.start_as_current_span(f"f{number}.{index}"):
                    await asyncio.sleep(random.random() / 1000)
                    yield index
                    if index == 1:
                        await use_tool()

        return stream

    async def consume(number):
        async for index in make(number)():
            await asyncio.sleep(random.random() / 1000)
            if number % 10 == 0 and index == 2:
                return  # some break early

    await asyncio.gather(*(consume(number) for number in range(200)))
    gc.collect()
    await asyncio.sleep(0.05)
    tree = parents(recorded)
    assert len(recorded.trace_ids()) == 200
    assert len(tree) == 200 * 8
    for number in range(200):
        assert tree[f"invoke_agent {number}"] is None
        assert tree[f"execute_tool tool {number}"] == f"f{number}.1"
        for index in range(3):
            assert tree[f"step {number}.{index}"] == f"invoke_agent {number}"
            assert tree[f"f{number}.{index}"] == f"step {number}.{index}"


async def test_gathered_agents_are_children_of_their_caller(recorded):
    @clew.agent(name="outer")
    async def outer():
        await asyncio.gather(*(clew.agent(name=f"{n}")(inspect.unwrap(coroutine))() for n in range(3)))

    await outer()
    assert len(recorded.trace_ids()) == 1
    agents = {span.name: span for span in recorded if span.name.startswith("invoke_agent")}
    for number in range(3):
        assert agents[f"invoke_agent {number}"].parent.span_id == agents["invoke_agent outer"].context.span_id


def test_undecorated_generators_with_steps_leave_no_trace_behind(recorded):
    def steps(name):
        with clew.step("act", name=name):
            yield

    first, second = steps("first"), steps("second")
    next(first)
    next(second)
    first.close()  # out of order: the second one's context stands on the first one's
    second.close()
    assert current_name() is None
    with clew.step("act", name="later"):
        pass
    assert parents(recorded)["step later"] is None


def test_span_is_not_put_under_a_step_that_is_over(recorded):
    def leaves_its_step_current():
        with clew.step("act", name="left"):
            yield

    def closed_elsewhere():
        walk = leaves_its_step_current()
        next(walk)
        contextvars.Context().run(walk.close)  # ends the step, cannot take it off this context
        with clew.step("act", name="later"):
            pass

    contextvars.copy_context().run(closed_elsewhere)
    assert recorded.named("step later").parent is None


async def test_coroutine_closed_by_hand_ends_its_span(recorded):
    waiting = coroutine()
    contextvars.copy_context().run(waiting.send, None)
    contextvars.Context().run(waiting.close)
    assert recorded.only().attributes["clew.status"] == "cancelled"


def test_exception_marks_every_span_it_leaves(recorded):
    class OwnError(Exception):
        pass

    @clew.tool
    def fails():
        raise OwnError("no luck")

    @clew.agent(name="agent")
    def run():
        with clew.step("act"):
            fails()

    with pytest.raises(OwnError):
        run()
    assert len(recorded) == 3
    for span in recorded:
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description.endswith("OwnError: no luck")
        assert span.attributes["clew.status"] == "error"
        assert span.attributes["error.type"] == f"{OwnError.__module__}.{OwnError.__qualname__}"
        [event] = span.events
        assert event.attributes["exception.type"] == span.attributes["error.type"]
        assert event.attributes["exception.message"] == "no luck"


def test_keyboard_interrupt_is_an_interruption_and_no_error(recorded):
    @clew.agent(name="agent")
    def run():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert recorded.only().attributes["clew.status"] == "interrupted"
    assert recorded.only().status.status_code is StatusCode.UNSET


def test_methods_and_callable_objects_can_be_decorated(recorded):
    class Desk:
        @clew.tool
        def close(self, ticket):
            return ticket

        @clew.agent(name="static")
        @staticmethod
        def run():
            return "ran"

        async def __call__(self):
            return "called"

        @clew.tool
        @classmethod
        def kind(cls, of):
            return cls.__name__ + of

    assert Desk().kind("!") == "Desk!"
    assert recorded.named("execute_tool kind").attributes["gen_ai.tool.call.arguments"] == '{"of":"!"}'
    assert Desk().close("T-1") == "T-1"
    assert Desk().run() == "ran"
    assert asyncio.run(clew.agent(Desk())()) == "called"
    assert recorded.named("execute_tool close").attributes["gen_ai.tool.call.arguments"] == '{"ticket":"T-1"}'
    assert recorded.named("invoke_agent Desk")
