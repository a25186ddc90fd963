"""The plain tool-calling loop that most agents are, over OpenAI's chat completions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import clew
from clew.demo.agents.toolbox import StepLimitError, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai.types.chat import ChatCompletionMessage


def chat_loop(
    ask: Callable[[list[Any]], ChatCompletionMessage],
    run_tool: Callable[[str, dict[str, Any]], Any],
    task: str,
    question: str,
    max_steps: int,
) -> str:
    """Asks the model and runs the tools it wants, until it answers.

    Args:
        ask: Sends the conversation to the model and returns its next message.
        run_tool: Runs one tool by name; what it returns goes back to the model as JSON.
        task: The system prompt.
        question: What the user wants.
        max_steps: How many times the model is asked at most.

    Returns:
        The model's answer.

    Raises:
        StepLimitError: No answer within `max_steps`.
    """
    messages: list[Any] = [{"role": "system", "content": task}, {"role": "user", "content": question}]
    for _ in range(max_steps):
        with clew.step("iterate"):
            message = ask(messages)
            messages.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
            if not message.tool_calls:
                return message.content or ""
            for call in message.tool_calls:
                if call.type != "function":
                    raise ValueError(f"the model asked for a {call.type!r} tool; only functions are offered")
                result = run_tool(call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    raise StepLimitError(f"no answer after {max_steps} steps")


def chat_tools(tools: Mapping[str, Callable[..., Any]]) -> list[Any]:
    """The tools as chat completions want them described."""
    return [{"type": "function", "function": tool} for tool in describe(tools.values())]
