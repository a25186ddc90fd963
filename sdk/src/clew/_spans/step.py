"""`clew.step`: a span around one iteration or thought of an agent, and what was decided in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from clew import _content, _guard, _semconv
from clew._spans.scope import Scope
from clew._words import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.util.types import Attributes, AttributeValue

_KINDS = frozenset(get_args(_semconv.StepKind))
_FINISH_REASONS = frozenset(get_args(_semconv.StepFinishReason))


class Step(Scope):
    """One step, while it is open; made by `clew.step`."""

    __slots__ = ("_kind", "_step_name")
    doing = "recording a step"

    def __init__(self, kind: str, name: str | None) -> None:
        super().__init__()
        self._kind = kind
        self._step_name = name

    def attributes(self) -> Attributes:
        """The attributes the span starts with."""
        kind = known("clew.step kind", self._kind, _KINDS, otherwise="other")
        attributes: dict[str, AttributeValue] = {_semconv.CLEW_OP: "step", _semconv.CLEW_STEP_KIND: kind}
        if self._step_name is not None:
            attributes[_semconv.CLEW_STEP_NAME] = self._step_name
        self._name = f"step {self._step_name or self._kind}"
        if self.run is not None:
            attributes[_semconv.CLEW_STEP_INDEX] = self.run.next_step()
            attributes[_semconv.GEN_AI_AGENT_NAME] = self.run.agent
        return attributes

    def decide(
        self,
        chosen: str,
        *,
        options: Sequence[str] | None = None,
        rejected: Sequence[str] | None = None,
        rejected_reasons: Sequence[str] | None = None,
        confidence: float | None = None,
        reason: str | None = None,
    ) -> None:
        """Records what was decided in this step; a second call replaces what it names again.

        Args:
            chosen: What was decided: an option's name, or a short text.
            options: What was considered.
            rejected: What was dropped.
            rejected_reasons: Why each was dropped, in the order of `rejected`.
            confidence: From 0 to 1, as the agent said it.
            reason: Why it was decided so.
        """
        try:
            self.set(_semconv.CLEW_DECISION_CONFIDENCE, None if confidence is None else float(confidence))
            if _content.is_recorded(_content.ContentClass.NOTES):
                self.set(_semconv.CLEW_DECISION_CHOSEN, chosen)
                self.set(_semconv.CLEW_DECISION_OPTIONS, options)
                self.set(_semconv.CLEW_DECISION_REJECTED, rejected)
                self.set(_semconv.CLEW_DECISION_REJECTED_REASONS, rejected_reasons)
                self.set(_semconv.CLEW_DECISION_REASON, reason)
        except Exception as error:
            _guard.failed(self.doing, error)

    def summarise(self, text: str) -> None:
        """Records the reasoning of this step as text."""
        if _content.is_recorded(_content.ContentClass.NOTES):
            self.set(_semconv.CLEW_STEP_SUMMARY, text)

    def finished(self, reason: _semconv.StepFinishReason) -> None:
        """Records why the step ends."""
        self.set(
            _semconv.CLEW_STEP_FINISH_REASON, known("clew.step finish reason", reason, _FINISH_REASONS, otherwise=None)
        )


def step(kind: _semconv.StepKind, *, name: str | None = None) -> Step:
    """A step of the agent, as a context manager: a span `step NAME`, or `step KIND` where it has no name.

    Inside an agent the steps of one invocation are numbered from 1 in the order they start.

    Args:
        kind: What the step does. Something else than the known kinds is recorded as `other`, with a warning.
        name: A name of few distinct values: "draft answer", not "draft answer to Ines".

    Returns:
        The step; `with clew.step("plan") as step:` gives it a name to record decisions on.
    """
    return Step(kind, name)
