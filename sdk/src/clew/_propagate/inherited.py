"""What spans inherit besides their parent: whose agent, which conversation, which user, which budget.

It is kept under a key of its own, not in OpenTelemetry's baggage: that one goes out with every request of every
instrumented HTTP client, to model providers too. `_carrier` says where it may go.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, get_args

from opentelemetry.context import create_key, get_current, get_value

from clew import _guard, _semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

Values = dict[str, "AttributeValue"]

FROM_SPANS = (
    _semconv.GEN_AI_AGENT_NAME,
    _semconv.GEN_AI_AGENT_VERSION,
    _semconv.GEN_AI_CONVERSATION_ID,
    _semconv.USER_ID,
)
"""What a span hands on to those below it, once it has it."""
NAMES = (
    *FROM_SPANS,
    _semconv.CLEW_BUDGET_NAME,
    _semconv.CLEW_BUDGET_KIND,
    _semconv.CLEW_BUDGET_LIMIT,
    _semconv.CLEW_BUDGET_UNIT,
)
"""What is handed on to other threads and processes."""
LONGEST = 256
"""Characters of a value at most; a longer one is not handed on, since a cut id would be another's."""
BUDGET_KINDS = frozenset(get_args(_semconv.BudgetKind))
_NUMBERS = frozenset({_semconv.CLEW_BUDGET_LIMIT})

KEY = create_key("clew.inherited")


class Inherited(NamedTuple):
    """What the spans started in a context inherit."""

    values: Values
    trace_id: int
    """The trace it came with: a long-lived process has others too. 0 where it holds for all."""


def of(context: Context | None) -> Inherited | None:
    """What a context, by default the current one, hands on."""
    found = get_value(KEY, context)
    return found if isinstance(found, Inherited) else None


def is_there(context: Context | None = None) -> bool:
    """Whether a context hands on anything."""
    return KEY in (get_current() if context is None else context)


def checked(values: Mapping[str, object], *, ours: bool) -> Values:
    """The known names among some values, with values that may be handed on.

    Args:
        values: Names and values; those that are None count as absent.
        ours: Whether the programme said it, who is then told what is wrong with it. What others sent is just ignored.
    """
    kept: Values = {}
    for name in NAMES:
        value = values.get(name)
        if value is None:
            continue
        good = _number(value) if name in _NUMBERS else _text(value)
        if good is not None:
            kept[name] = good
        elif ours:
            _guard.warn_once(
                f"baggage {name}",
                "%s=%.80r is not recorded: %s.",
                name,
                value,
                "it is no number from 0 on"
                if name in _NUMBERS
                else f"it is empty, longer than {LONGEST} characters, or has unprintable ones",
            )
    return kept


def _text(value: object) -> str | None:
    text = str(value)
    return text if 0 < len(text) <= LONGEST and text.isprintable() else None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
