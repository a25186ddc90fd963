"""One invocation of an agent."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class Run:
    """What the scopes inside one agent invocation share: the agent's name, its span, and the count of its steps."""

    __slots__ = ("_steps", "agent", "span")

    def __init__(self, agent: str, span: Span) -> None:
        self.agent = agent
        self.span = span
        self._steps = count(1)

    def next_step(self) -> int:
        """The index of a step that starts now, counted from 1; safe to call from several threads."""
        return next(self._steps)
