"""`@clew.agent`: a span around each invocation of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar, overload

from clew import _semconv
from clew._spans.calls import name_of, traced
from clew._spans.run import Run
from clew._spans.scope import Scope
from clew._words import as_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import Attributes

P = ParamSpec("P")
R = TypeVar("R")


class _Invocation(Scope):
    __slots__ = ("_agent", "_attributes")
    doing = "recording an agent"

    def __init__(self, name: str, agent: str, attributes: Attributes) -> None:
        super().__init__(name)
        self._agent = agent
        self._attributes = attributes

    def attributes(self) -> Attributes:
        return self._attributes

    def _open(self) -> None:
        super()._open()
        self.run = Run(self._agent, self.span)


@overload
def agent(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def agent(*, name: str | None = None, version: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def agent(
    function: Callable[P, R] | None = None, /, *, name: str | None = None, version: str | None = None
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Records each call of a function as one invocation of an agent: a span `invoke_agent NAME`.

    Works on functions, async functions, generators and async generators; the kind is kept, so frameworks that look
    at it still see what they saw. Steps, tools, gates and outcomes inside belong to this invocation.

    Args:
        function: The function, where the decorator is used without parentheses.
        name: The agent's name; the function's where it is not given.
        version: The agent's version, if it has one.

    Returns:
        The function, recorded; or, called with parentheses, the decorator.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known_as = as_name(name, name_of(function))
        attributes = {
            _semconv.GEN_AI_OPERATION_NAME: "invoke_agent",
            _semconv.GEN_AI_AGENT_NAME: known_as,
        }
        if version is not None:
            attributes[_semconv.GEN_AI_AGENT_VERSION] = version
        span_name = f"invoke_agent {known_as}"
        return traced(function, lambda _args, _kwargs: _Invocation(span_name, known_as, attributes))

    return decorate if function is None else decorate(function)
