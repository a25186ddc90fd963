"""`clew.baggage`, `clew.headers`, `clew.environment` and `clew.joined`: handing a run on by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import attach, get_current, set_value

from clew import _guard, _semconv
from clew._propagate import carrier as _carrier
from clew._propagate import inherited, lineage
from clew._spans import scope
from clew._words import known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from opentelemetry.context import Context


class Within:
    """Context manager: the code inside runs in another OpenTelemetry context. Not reusable.

    It is left by putting the former context back, not by a token, which a generator that is closed elsewhere could not
    use.
    """

    __slots__ = ("_inner", "_make", "_outer")

    def __init__(self, make: Callable[[Context], Context]) -> None:
        self._make = make
        self._outer: Context | None = None
        self._inner: Context | None = None

    def __enter__(self) -> Self:
        try:
            self._outer = get_current()
            self._inner = self._make(self._outer)
            attach(self._inner)
        except Exception as error:
            _guard.failed("handing a run on", error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._outer is not None and get_current() is self._inner:
                attach(self._outer)
        except Exception as failure:
            _guard.failed("handing a run on", failure)


def baggage(
    *,
    conversation: str | None = None,
    user: str | None = None,
    budget: str | None = None,
    budget_kind: _semconv.BudgetKind | None = None,
    budget_limit: float | None = None,
    budget_unit: str | None = None,
) -> Within:
    """Says whose the runs inside are, wherever they go on: in threads, tasks, child processes and MCP servers.

    A context manager: `with clew.baggage(conversation="c-17", user="u-4"): run(question)`. Every span about GenAI that
    starts inside has what is said here, unless it says otherwise itself. It goes to child processes, to MCP servers
    over stdio, and to the hosts in `CLEW_PROPAGATE_TO`, and nowhere else.

    Args:
        conversation: Id of the conversation (`gen_ai.conversation.id`).
        user: Pseudonymous id of the user (`user.id`); never a name or an e-mail address.
        budget: Name of the budget that holds (`clew.budget.name`).
        budget_kind: What it limits.
        budget_limit: The most that may be used.
        budget_unit: The limit's unit: {token}, {USD}, {step} or s.

    Returns:
        The context manager. Values longer than 256 characters are not recorded, with a warning.
    """
    kind = budget_kind and known("clew.baggage budget_kind", budget_kind, inherited.BUDGET_KINDS, otherwise=None)
    said = {
        _semconv.GEN_AI_CONVERSATION_ID: conversation,
        _semconv.USER_ID: user,
        _semconv.CLEW_BUDGET_NAME: budget,
        _semconv.CLEW_BUDGET_KIND: kind,
        _semconv.CLEW_BUDGET_LIMIT: budget_limit,
        _semconv.CLEW_BUDGET_UNIT: budget_unit,
    }

    def make(outer: Context) -> Context:
        values = lineage.at(outer) | inherited.checked(said, ours=True)
        return set_value(inherited.KEY, inherited.Inherited(values, 0), outer)

    return Within(make)


def headers() -> dict[str, str]:
    """What hands the current run on to whoever calls `clew.joined` with it: to a queue, a job, a host of your own.

    Returns:
        `traceparent`, and `tracestate` and `baggage` where there are any: conversation, user, budget and agent among
        the baggage, so do not send it to others. Empty outside of any run.
    """
    try:
        return _carrier.outgoing()
    except Exception as error:
        _guard.failed("handing a run on", error)
        return {}


def environment() -> dict[str, str]:
    """The same as environment variables, for a process that is not started by `subprocess` or `multiprocessing`.

    Returns:
        `TRACEPARENT`, and `TRACESTATE` and `BAGGAGE` where there are any, to add to the environment of a process in
        which clew is on. Empty outside of any run.
    """
    return {name.upper(): value for name, value in headers().items()}


def joined(carrier: Mapping[str, str]) -> Within:
    """Joins the run that a caller handed over: spans inside belong to its trace, and inherit what it handed on.

    A context manager: `with clew.joined(request.headers): run(question)`. Use it where only your own callers come:
    whoever calls chooses the trace. What is malformed or absent changes nothing.

    Args:
        carrier: Headers of a request or a message, or what `clew.headers` or `clew.environment` returned; case does
            not matter.

    Returns:
        The context manager.
    """

    def make(outer: Context) -> Context:
        handed = {str(name).lower(): value for name, value in carrier.items()}  # Flask's iterate as pairs anyway
        inner = _carrier.incoming(handed, outer)
        return inner if inner is outer else scope.outside(inner)

    return Within(make)
