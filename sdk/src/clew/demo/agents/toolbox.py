"""What every tool-calling agent needs, whatever its model: describing Python functions to a model."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


class StepLimitError(RuntimeError):
    """The agent used all the steps it was given and has no answer."""


def toolbox(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """The functions by name, as a model will ask for them."""
    return {function.__name__: function for function in functions}


def describe(functions: Iterable[Callable[..., Any]]) -> list[dict[str, Any]]:
    """Name, docstring and JSON schema of each function, without the wrapping each provider puts around it."""
    return [_describe(function) for function in functions]


def _describe(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    schema = {
        "type": "object",
        "properties": {name: {"type": _JSON_TYPES[p.annotation]} for name, p in parameters.items()},
        "required": list(parameters),
    }
    return {"name": function.__name__, "description": inspect.getdoc(function), "parameters": schema}
