"""Names of attributes and their values: the GenAI conventions' that clew emits, and every `clew.*` one.

The `clew.*` names are those of `proto/registry/clew.yaml`; a test holds the two equal, the `Literal` types below
and the registry's enumerations too. `proto/semconv-version` says which state of the conventions is followed.
"""

from __future__ import annotations

from typing import Literal

ERROR_TYPE = "error.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
USER_ID = "user.id"

GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
GEN_AI_AGENT_NAME = "gen_ai.agent.name"
GEN_AI_AGENT_VERSION = "gen_ai.agent.version"
GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"
GEN_AI_TOOL_NAME = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE = "gen_ai.tool.type"
GEN_AI_TOOL_DESCRIPTION = "gen_ai.tool.description"
GEN_AI_TOOL_DEFINITIONS = "gen_ai.tool.definitions"
GEN_AI_TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_CALL_RESULT = "gen_ai.tool.call.result"
GEN_AI_INPUT_MESSAGES = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES = "gen_ai.output.messages"
GEN_AI_SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"

CLEW_OP = "clew.op"
CLEW_DIALECT_NAME = "clew.dialect.name"
CLEW_DIALECT_VERSION = "clew.dialect.version"
CLEW_STATUS = "clew.status"
CLEW_SYNTHETIC = "clew.synthetic"
CLEW_PENDING = "clew.pending"
CLEW_STEP_KIND = "clew.step.kind"
CLEW_STEP_NAME = "clew.step.name"
CLEW_STEP_INDEX = "clew.step.index"
CLEW_STEP_FINISH_REASON = "clew.step.finish_reason"
CLEW_STEP_SUMMARY = "clew.step.summary"
CLEW_DECISION_CHOSEN = "clew.decision.chosen"
CLEW_DECISION_OPTIONS = "clew.decision.options"
CLEW_DECISION_REJECTED = "clew.decision.rejected"
CLEW_DECISION_REJECTED_REASONS = "clew.decision.rejected_reasons"
CLEW_DECISION_CONFIDENCE = "clew.decision.confidence"
CLEW_DECISION_REASON = "clew.decision.reason"
CLEW_OUTCOME_STATUS = "clew.outcome.status"
CLEW_OUTCOME_SCORE = "clew.outcome.score"
CLEW_OUTCOME_EXPECTED = "clew.outcome.expected"
CLEW_OUTCOME_ACTUAL = "clew.outcome.actual"
CLEW_OUTCOME_COMPLEXITY = "clew.outcome.complexity"
CLEW_OUTCOME_LABELS = "clew.outcome.labels"
CLEW_OUTCOME_SOURCE = "clew.outcome.source"
CLEW_CONTEXT_SOURCE_KIND = "clew.context.source.kind"
CLEW_CONTEXT_SOURCE_ID = "clew.context.source.id"
CLEW_CONTEXT_SOURCE_VERSION = "clew.context.source.version"
CLEW_CONTEXT_SOURCE_UPDATED_AT = "clew.context.source.updated_at"
CLEW_TURN_ID = "clew.turn.id"
CLEW_TURN_INDEX = "clew.turn.index"
CLEW_AGENT_RUN_ID = "clew.agent.run_id"
CLEW_AGENT_PARENT_ID = "clew.agent.parent_id"
CLEW_AGENT_PARENT_RUN_ID = "clew.agent.parent_run_id"
CLEW_AGENT_DEPTH = "clew.agent.depth"
CLEW_HANDOFF_FROM = "clew.handoff.from"
CLEW_HANDOFF_TO = "clew.handoff.to"
CLEW_HANDOFF_MODE = "clew.handoff.mode"
CLEW_GATE_NAME = "clew.gate.name"
CLEW_GATE_KIND = "clew.gate.kind"
CLEW_GATE_PHASE = "clew.gate.phase"
CLEW_GATE_OUTCOME = "clew.gate.outcome"
CLEW_GATE_SCOPE = "clew.gate.scope"
CLEW_GATE_SOURCE = "clew.gate.source"
CLEW_GATE_ACTOR_TYPE = "clew.gate.actor.type"
CLEW_GATE_ACTOR_ID = "clew.gate.actor.id"
CLEW_GATE_POLICY_ID = "clew.gate.policy_id"
CLEW_GATE_POLICY_VERSION = "clew.gate.policy_version"
CLEW_GATE_RULE_ID = "clew.gate.rule_id"
CLEW_GATE_REASON = "clew.gate.reason"
CLEW_GATE_SCORE = "clew.gate.score"
CLEW_GATE_WAIT_MS = "clew.gate.wait_ms"
CLEW_GATE_TARGET_KIND = "clew.gate.target.kind"
CLEW_GATE_TARGET_ID = "clew.gate.target.id"
CLEW_GATE_RAW = "clew.gate.raw"
CLEW_COST_USD = "clew.cost.usd"
CLEW_COST_INPUT_USD = "clew.cost.input_usd"
CLEW_COST_OUTPUT_USD = "clew.cost.output_usd"
CLEW_COST_CACHE_READ_USD = "clew.cost.cache_read_usd"
CLEW_COST_CACHE_WRITE_USD = "clew.cost.cache_write_usd"
CLEW_COST_REASONING_USD = "clew.cost.reasoning_usd"
CLEW_COST_TOOL_USD = "clew.cost.tool_usd"
CLEW_COST_SOURCE = "clew.cost.source"
CLEW_COST_PRICING_VERSION = "clew.cost.pricing_version"
CLEW_COST_ORIGINAL_AMOUNT = "clew.cost.original_amount"
CLEW_COST_ORIGINAL_CURRENCY = "clew.cost.original_currency"
CLEW_USAGE_SCOPE = "clew.usage.scope"
CLEW_USAGE_REPAIRED = "clew.usage.repaired"
CLEW_BUDGET_NAME = "clew.budget.name"
CLEW_BUDGET_KIND = "clew.budget.kind"
CLEW_BUDGET_LIMIT = "clew.budget.limit"
CLEW_BUDGET_CONSUMED = "clew.budget.consumed"
CLEW_BUDGET_UNIT = "clew.budget.unit"
CLEW_BUDGET_STATE = "clew.budget.state"
CLEW_BUDGET_ACTION = "clew.budget.action"
CLEW_LOOP_DETECTED = "clew.loop.detected"
CLEW_LOOP_PATTERN = "clew.loop.pattern"
CLEW_LOOP_COUNT = "clew.loop.count"
CLEW_LOOP_FINGERPRINT = "clew.loop.fingerprint"
CLEW_LOOP_DETECTOR = "clew.loop.detector"
CLEW_CONTENT_REF = "clew.content.ref"
CLEW_CONTENT_REDACTED = "clew.content.redacted"
CLEW_CONTENT_TRUNCATED = "clew.content.truncated"

CLEW_CONTENT_ATTRIBUTES = frozenset(
    {
        CLEW_STEP_SUMMARY,
        CLEW_DECISION_CHOSEN,
        CLEW_DECISION_OPTIONS,
        CLEW_DECISION_REJECTED,
        CLEW_DECISION_REJECTED_REASONS,
        CLEW_DECISION_REASON,
        CLEW_OUTCOME_EXPECTED,
        CLEW_OUTCOME_ACTUAL,
        CLEW_GATE_REASON,
    }
)
"""The `clew.*` attributes that hold text of users, models or tools."""

StepKind = Literal["reason", "plan", "act", "observe", "reflect", "route", "iterate", "other"]
StepFinishReason = Literal["continue", "final_answer", "max_steps", "error", "interrupted"]
OutcomeStatus = Literal["success", "failure", "partial", "unknown"]
OutcomeSource = Literal["agent", "user", "evaluator", "system"]
GateKind = Literal["guardrail", "policy", "human", "budget", "sandbox", "hook", "classifier"]
GatePhase = Literal["input", "output", "pre_tool", "post_tool", "plan", "handoff"]
GateOutcome = Literal["allow", "deny", "modify", "warn", "require_approval", "timeout", "abort", "unknown"]
GateScope = Literal["once", "session", "always"]
GateSource = Literal["user", "config", "policy", "hook", "model", "classifier", "system"]
GateActorType = Literal["human", "agent", "service"]
GateTargetKind = Literal["tool_call", "message", "plan", "handoff"]
BudgetKind = Literal["tokens", "cost", "steps", "tool_calls", "time"]
