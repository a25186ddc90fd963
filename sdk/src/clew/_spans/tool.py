"""`@clew.tool`: a span around each execution of a tool, with its arguments and its result."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from clew import _content, _guard, _semconv
from clew._spans.calls import name_of, traced
from clew._spans.scope import Scope
from clew._words import as_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.util.types import Attributes

P = ParamSpec("P")
R = TypeVar("R")


class Parameters(Protocol):
    """Knows what the arguments of a call are called."""

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        """The arguments of one call by name."""
        ...


class Execution(Scope):
    """The execution of a tool."""

    __slots__ = ("_args", "_attributes", "_kwargs", "_parameters")
    doing = "recording a tool"

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, str],
        parameters: Parameters,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(name)
        self._attributes = attributes
        self._parameters = parameters
        self._args = args
        self._kwargs = kwargs

    def attributes(self) -> Attributes:
        attributes = dict(self._attributes)
        if self.run is not None:
            attributes[_semconv.GEN_AI_AGENT_NAME] = self.run.agent
        return attributes

    def _open(self) -> None:
        super()._open()
        if _content.is_recorded(_content.ContentClass.TOOLS) and self.span.is_recording():
            # Now, not at the end: the tool may change what it was given.
            arguments = self._parameters.named(self._args, self._kwargs)
            self.span.set_attribute(_semconv.GEN_AI_TOOL_CALL_ARGUMENTS, _content.to_json(arguments))
        self._args, self._kwargs = (), {}

    def returned(self, result: Any) -> None:
        """Records what the tool returned."""
        if _content.is_recorded(_content.ContentClass.TOOLS) and self.span.is_recording():
            try:
                self.span.set_attribute(_semconv.GEN_AI_TOOL_CALL_RESULT, _content.to_json(result))
            except Exception as error:
                _guard.failed(self.doing, error)


class _Parameters:
    """Names of a function's parameters, to give positional arguments their names without a binding per call."""

    __slots__ = ("_positional", "_rest", "_skip")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._rest = "args"
        self._skip = 0
        positional: list[str] = []
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # built-in functions may have no signature
            parameters = []
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                positional.append(parameter.name)
            elif parameter.kind is parameter.VAR_POSITIONAL:
                self._rest = parameter.name
        if positional and positional[0] in ("self", "cls"):  # the object is not what the model asked for
            self._skip = 1
        self._positional = tuple(positional[self._skip :])

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of one call by name, in the order of the call; surplus positional ones as a list."""
        given = args[self._skip :]
        arguments = dict(zip(self._positional, given, strict=False))
        if len(given) > len(self._positional):
            arguments[self._rest] = list(given[len(self._positional) :])
        return arguments | kwargs


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def tool(*, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None, /, *, name: str | None = None
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Records each call of a function as the execution of a tool: a span `execute_tool NAME`.

    Arguments (by name) and result are recorded as JSON where content is recorded. Works on functions, async
    functions, generators and async generators; what a generator yields is not recorded.

    Args:
        function: The function, where the decorator is used without parentheses.
        name: The tool's name as the model knows it; the function's where it is not given.

    Returns:
        The function, recorded; or, called with parentheses, the decorator.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known_as = as_name(name, name_of(function))
        attributes = {
            _semconv.GEN_AI_OPERATION_NAME: "execute_tool",
            _semconv.GEN_AI_TOOL_NAME: known_as,
            _semconv.GEN_AI_TOOL_TYPE: "function",
        }
        if purpose := (inspect.getdoc(function) or "").partition("\n")[0]:
            attributes[_semconv.GEN_AI_TOOL_DESCRIPTION] = purpose
        span_name = f"execute_tool {known_as}"
        parameters = _Parameters(getattr(function, "__func__", function))
        return traced(function, lambda args, kwargs: Execution(span_name, attributes, parameters, args, kwargs))

    return decorate if function is None else decorate(function)
