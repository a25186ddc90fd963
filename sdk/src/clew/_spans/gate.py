"""`clew.gate`: a span around a decision that may stop or change an action, and how long it took."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeAlias, get_args

from clew import _content, _guard, _semconv
from clew._spans.scope import Scope
from clew._words import known

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes, AttributeValue

_KINDS = frozenset(get_args(_semconv.GateKind))
_PHASES = frozenset(get_args(_semconv.GatePhase))
_TARGETS = frozenset(get_args(_semconv.GateTargetKind))
_SCOPES = frozenset(get_args(_semconv.GateScope))
_SOURCES = frozenset(get_args(_semconv.GateSource))
_ACTORS = frozenset(get_args(_semconv.GateActorType))


_Given: TypeAlias = "tuple[str, str, str | None, str | None, str | None, str | None, str | None]"
"""The arguments of `clew.gate`, in its order."""


class Gate(Scope):
    """One passage through a gate, while it is open; made by `clew.gate`.

    The last decision counts. A gate left without one has the outcome `unknown`.
    """

    __slots__ = ("_decided_at", "_entered_at", "_given", "_outcome")
    doing = "recording a gate"

    def __init__(self, given: _Given) -> None:
        super().__init__()
        self._given = given
        self._outcome: _semconv.GateOutcome = "unknown"
        self._entered_at = 0.0
        self._decided_at: float | None = None

    def attributes(self) -> Attributes:
        """The attributes the span starts with; waiting starts here."""
        self._entered_at = monotonic()
        name, kind, phase, target, target_id, policy, policy_version = self._given
        self._name = f"gate {name}"
        attributes: dict[str, AttributeValue] = {_semconv.CLEW_OP: "gate", _semconv.CLEW_GATE_NAME: name}
        if (word := known("clew.gate kind", kind, _KINDS, otherwise=None)) is not None:
            attributes[_semconv.CLEW_GATE_KIND] = word
        if phase and (word := known("clew.gate phase", phase, _PHASES, otherwise=None)) is not None:
            attributes[_semconv.CLEW_GATE_PHASE] = word
        if target and (word := known("clew.gate target", target, _TARGETS, otherwise=None)) is not None:
            attributes[_semconv.CLEW_GATE_TARGET_KIND] = word
        if target_id is not None:
            attributes[_semconv.CLEW_GATE_TARGET_ID] = target_id
        if policy is not None:
            attributes[_semconv.CLEW_GATE_POLICY_ID] = policy
        if policy_version is not None:
            attributes[_semconv.CLEW_GATE_POLICY_VERSION] = policy_version
        if self.run is not None:
            attributes[_semconv.GEN_AI_AGENT_NAME] = self.run.agent
        return attributes

    def finish(self) -> dict[str, AttributeValue]:
        """The outcome and the time waited for it, in whole milliseconds."""
        decided_at = monotonic() if self._decided_at is None else self._decided_at
        return {
            _semconv.CLEW_GATE_OUTCOME: self._outcome,
            _semconv.CLEW_GATE_WAIT_MS: round((decided_at - self._entered_at) * 1000),
        }

    def allow(self, reason: str | None = None, *, scope: _semconv.GateScope | None = None) -> None:
        """The action goes on unchanged; `scope` says how far the permission reaches."""
        self._decide("allow", reason)
        if scope is not None:
            self.set(_semconv.CLEW_GATE_SCOPE, known("clew.gate scope", scope, _SCOPES, otherwise=None))

    def deny(self, reason: str | None = None) -> None:
        """The action is stopped."""
        self._decide("deny", reason)

    def modify(self, reason: str | None = None) -> None:
        """The action goes on changed."""
        self._decide("modify", reason)

    def warn(self, reason: str | None = None) -> None:
        """The action goes on with a warning."""
        self._decide("warn", reason)

    def require_approval(self, reason: str | None = None) -> None:
        """Somebody has to decide. Stays the outcome only if no decision follows; waiting goes on."""
        self._decide("require_approval", reason)
        self._decided_at = None

    def timeout(self, reason: str | None = None) -> None:
        """Nobody decided in time."""
        self._decide("timeout", reason)

    def abort(self, reason: str | None = None) -> None:
        """The whole run is stopped."""
        self._decide("abort", reason)

    def decided_by(
        self,
        source: _semconv.GateSource | None = None,
        *,
        actor: _semconv.GateActorType | None = None,
        actor_id: str | None = None,
        rule: str | None = None,
        score: float | None = None,
    ) -> None:
        """Records who or what decided.

        Args:
            source: What the decision came from.
            actor: What the one who decided is.
            actor_id: Pseudonymous id of the one who decided; never a name or an e-mail address.
            rule: Id of the rule that decided.
            score: The classifier's score.
        """
        try:
            if source is not None:
                self.set(_semconv.CLEW_GATE_SOURCE, known("clew.gate source", source, _SOURCES, otherwise=None))
            if actor is not None:
                self.set(_semconv.CLEW_GATE_ACTOR_TYPE, known("clew.gate actor", actor, _ACTORS, otherwise=None))
            self.set(_semconv.CLEW_GATE_ACTOR_ID, actor_id)
            self.set(_semconv.CLEW_GATE_RULE_ID, rule)
            self.set(_semconv.CLEW_GATE_SCORE, None if score is None else float(score))
        except Exception as error:
            _guard.failed(self.doing, error)

    def _decide(self, outcome: _semconv.GateOutcome, reason: str | None) -> None:
        self._outcome = outcome
        self._decided_at = monotonic()
        if _content.is_recorded(_content.ContentClass.NOTES):
            self.set(_semconv.CLEW_GATE_REASON, reason)


def gate(
    name: str,
    *,
    kind: _semconv.GateKind,
    phase: _semconv.GatePhase | None = None,
    target: _semconv.GateTargetKind | None = None,
    target_id: str | None = None,
    policy: str | None = None,
    policy_version: str | None = None,
) -> Gate:
    """A gate, as a context manager: a span `gate NAME` from the request to the decision.

    Say inside it what was decided: `with clew.gate("refunds", kind="policy") as gate: gate.deny("over the limit")`.
    The time between entering and the last decision is recorded as `clew.gate.wait_ms`.

    Args:
        name: Name of the guardrail, policy or approval point.
        kind: What sort of gate it is.
        phase: Where in the run it stands.
        target: What it guards.
        target_id: Id of what it guards: of the tool call, the response or the span.
        policy: Id of the policy applied.
        policy_version: Its version.

    Returns:
        The gate.
    """
    return Gate((name, kind, phase, target, target_id, policy, policy_version))
