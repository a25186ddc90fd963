"""Putting a scope around each call of a function, whatever kind of function it is.

A generator and its consumer take turns. What the generator makes current must not be current for the consumer, nor
for another generator in the same task, and it must still be current when the generator goes on, even in another task
or thread. So every decorated generator runs in a `contextvars` context of its own, a copy made at its first step, and
only its own frames ever run there. Tokens made inside a generator then always come back to the context they were
made in, those of other instrumentations too.
"""

from __future__ import annotations

import inspect
from contextvars import copy_context
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from contextvars import Context

    from clew._spans.scope import Scope

P = ParamSpec("P")
R = TypeVar("R")


class _Open(Protocol):
    """Makes the scope of one call from its arguments; the caller enters it."""

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Scope: ...


def traced(function: Callable[P, R], open_scope: _Open) -> Callable[P, R]:
    """The function with a scope around each call.

    The result is of the same kind as the function (`inspect` agrees) and carries its name, docstring and signature.

    Args:
        function: A function, async function, generator or async generator function, or another callable.
        open_scope: Makes the scope of a call. It must not raise.
    """
    if isinstance(function, (staticmethod, classmethod)):  # the decorator stands above that one
        return cast("Callable[P, R]", type(function)(traced(function.__func__, open_scope)))
    for is_kind, wrap in _KINDS:
        # Callable objects are what their __call__ is.
        if is_kind(function) or is_kind(getattr(function, "__call__", None)):  # noqa: B004
            return cast("Callable[P, R]", wraps(function)(wrap(function, open_scope)))
    return wraps(function)(_plain(function, open_scope))


def name_of(function: Callable[..., Any]) -> str:
    """The name a function was defined with; of a callable object, its class's."""
    return str(getattr(function, "__name__", type(function).__name__))


def _plain(function: Callable[P, R], open_scope: _Open) -> Callable[P, R]:
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with open_scope(args, kwargs) as scope:
            result = function(*args, **kwargs)
            scope.returned(result)
            return result

    return call


def _coroutine(function: Callable[..., Awaitable[Any]], open_scope: _Open) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with open_scope(args, kwargs) as scope:
            result = await function(*args, **kwargs)
            scope.returned(result)
            return result

    return call


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], open_scope: _Open
) -> Callable[..., Generator[Any, Any, Any]]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run = copy_context().run
        scope = open_scope(args, kwargs)
        run(scope.__enter__)
        try:
            generator = function(*args, **kwargs)
            resume, value = generator.send, None
            while True:
                try:
                    item = run(resume, value)
                except StopIteration as stop:
                    result = stop.value
                    break
                try:
                    value = yield item
                    resume = generator.send
                except GeneratorExit:
                    run(generator.close)
                    raise
                except BaseException as error:
                    resume, value = generator.throw, error
        except BaseException as error:
            run(scope.__exit__, type(error), error, None)
            raise
        run(scope.__exit__, None, None, None)
        return result

    return call


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], open_scope: _Open
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        context = copy_context()
        run = context.run
        scope = open_scope(args, kwargs)
        run(scope.__enter__)
        try:
            generator = function(*args, **kwargs)
            step = generator.asend(None)
            while True:
                try:
                    item = await _Within(context, step)
                except StopAsyncIteration:
                    break
                try:
                    value = yield item
                except GeneratorExit:
                    await _Within(context, generator.aclose())
                    raise
                except BaseException as error:
                    step = generator.athrow(error)
                else:
                    step = generator.asend(value)
        except BaseException as error:
            run(scope.__exit__, type(error), error, None)
            raise
        run(scope.__exit__, None, None, None)

    return call


class _Within:
    """An awaitable whose every step runs in a given context; what it awaits reaches the event loop unchanged."""

    __slots__ = ("_awaitable", "_context")

    def __init__(self, context: Context, awaitable: Awaitable[Any]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        steps = self._awaitable.__await__()
        resume: Callable[[Any], Any] = steps.send
        value: Any = None
        while True:
            try:
                waiting_for = run(resume, value)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield waiting_for
                resume = steps.send
            except GeneratorExit:
                run(steps.close)
                raise
            except BaseException as error:
                resume, value = steps.throw, error


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[..., Callable[..., Any]]], ...] = (
    (inspect.isasyncgenfunction, _async_generator),
    (inspect.iscoroutinefunction, _coroutine),
    (inspect.isgeneratorfunction, _generator),
)
