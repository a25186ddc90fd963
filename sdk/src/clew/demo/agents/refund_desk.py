"""A denied gate: the official Anthropic client, streamed, and a policy that stops a refund."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from anthropic import Anthropic

import clew
from clew.demo.agents.toolbox import StepLimitError, describe, toolbox

if TYPE_CHECKING:
    from anthropic.types import ToolUseBlock

REFUND_LIMIT = 200.0


@clew.tool
def look_up_payment(payment_id: str) -> dict[str, Any]:
    """A payment with its amount and state."""
    return {
        "payment_id": payment_id,
        "amount": {"pay_311": 35.0, "pay_312": 1890.0}[payment_id],
        "settled": True,
    }


@clew.tool
def issue_refund(payment_id: str, amount: float) -> dict[str, Any]:
    """Pays money back."""
    return {"payment_id": payment_id, "refunded": amount}


TOOLS = toolbox(look_up_payment, issue_refund)


def run_tool(call: ToolUseBlock) -> dict[str, Any]:
    """Runs one tool, refunds only past the gate; returns the block that tells the model what came of it."""
    arguments: Any = call.input
    denied = refund_denied(arguments["amount"], call.id) if call.name == "issue_refund" else None
    content = json.dumps(TOOLS[call.name](**arguments)) if denied is None else denied
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": denied is not None}


def refund_denied(amount: float, call_id: str) -> str | None:
    """The policy on refunds: why this one may not be paid, or None when it may."""
    with clew.gate("refund-limit", kind="policy", phase="pre_tool", target="tool_call", target_id=call_id) as gate:
        gate.decided_by("policy")
        if amount <= REFUND_LIMIT:
            gate.allow()
            return None
        reason = f"refunds above {REFUND_LIMIT:.0f} euros are decided by a person"
        gate.deny(reason)
        return reason


@clew.agent(name="refund-desk")
def run(server: str) -> str:
    """Answers a customer who wants money back; returns the answer."""
    client = Anthropic(base_url=f"{server}/refund-desk", api_key="demo")
    tools: Any = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
        for tool in describe(TOOLS.values())
    ]
    messages: list[Any] = [{"role": "user", "content": "Please refund pay_311 (35 euros) and pay_312 (1890 euros)."}]
    for _ in range(6):
        with clew.step("iterate"):
            with client.messages.stream(
                model="claude-sonnet-4-6",
                max_tokens=1024,
                system="You handle refunds.",
                messages=messages,
                tools=tools,
            ) as stream:
                message = stream.get_final_message()
            messages.append({"role": "assistant", "content": message.content})
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                clew.outcome("partial", score=0.5)
                return "".join(block.text for block in message.content if block.type == "text")
            messages.append({"role": "user", "content": [run_tool(call) for call in calls]})
    raise StepLimitError("no answer after 6 steps")
