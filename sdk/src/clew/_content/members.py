"""Members of messages, by their names: what says who spoke or which tool was called, what holds text, what counts.

A member is kept only where its name is known and its value looks like what the name says (a role, an identifier, a
count); all else is content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from clew._content.leaves import KEY, is_list, put


def is_identifier(value: Any) -> bool:
    """Whether it looks like a name or an id."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def is_role(value: Any) -> bool:
    """Whether it says who speaks."""
    return isinstance(value, str) and role_of(value) is not None


def _is_path(value: Any) -> bool:
    """The path of a class, as LangChain writes it, or an identifier."""
    return is_identifier(value) or (is_list(value) and 0 < len(value) < 10 and all(map(is_identifier, value)))


def is_count(value: Any) -> bool:
    """Whether it is a number, a truth or nothing."""
    return value is None or isinstance(value, (bool, int, float))


def role_of(word: Any) -> str | None:
    """The canonical role that a word stands for: a provider's role, or the name of a message class."""
    if not isinstance(word, str) or len(word) > 40:
        return None
    last = word.rpartition(".")[2].lower().removesuffix("chunk")
    return _ROLES.get(last.removesuffix("message") or last)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/|-]{0,127}+")
_ROLES = {
    word: role
    for role, words in {
        "system": "system developer",
        "user": "user human",
        "assistant": "assistant ai model",
        "tool": "tool function",
    }.items()
    for word in words.split()
}
ROLE_NAMES = ("role", "_role", "message.role")
IDS = _words(
    "id tool_call_id call_id callId toolCallId toolUseId tool_use_id ref tool_call.id message.tool_call_id "
    "message_id response_id"
)
NAMES = frozenset({"name", "toolName", "tool_name", "tool_call.function.name", "function_call_name"})
KEPT = {
    name: may_be
    for may_be, names in {
        is_role: " ".join(ROLE_NAMES),
        _is_path: " ".join(IDS),
        is_count: "index is_error isError lc created approved denied",
        is_identifier: " ".join(NAMES)
        + " type block_type event.name object status modality model model_name response_model modelVersion"
        " model_version finish_reason stop_reason finishReason stopReason mime_type media_type service_tier",
    }.items()
    for name in names.split()
}
"""Members that say what something is, and what they may be; whatever else is in them is content."""
USAGE = _words(
    "usage usage_metadata usageMetadata token_usage tokenUsage usage_details models_usage "
    "generation_info llm_output response_metadata"
)
CONTENTS = _words("content parts contents blocks text _content message.content reasoning_content refusal")
CALLS = _words("tool_calls function_call message.tool_calls invalid_tool_calls")
ARGUMENTS = _words("arguments args input partial_args tool_call.function.arguments function_call_arguments_json")
TOLD = CONTENTS | _words(
    "system system_instruction systemInstruction instructions prompt messages input inputs description goal backstory "
    "expected_output suffix stop user tools functions"
)
INNER_MESSAGE = _words("message data kwargs additional_kwargs delta meta")
INNER_CALL = _words("function tool_call functionCall toolUse toolRequest function_call")
INNER_ANSWER = _words("functionResponse function_response toolResult toolResponse tool_call_result tool_result")
CALL_TYPES = _words("tool_call tool-call tool_use server_tool_use function_call function")
ANSWER_TYPES = _words(
    "tool_call_response tool_result tool-result function_call_output tool_call_result function_response"
)
SAYING = CONTENTS | CALLS
TELLING = NAMES | IDS | INNER_CALL
INNER_EXECUTION = (INNER_CALL | INNER_ANSWER) - {"function"}
EXECUTION_TYPES = CALL_TYPES | ANSWER_TYPES
PART_TYPES = (
    CALL_TYPES
    | ANSWER_TYPES
    | _words(
        "text input_text output_text summary_text reasoning thinking reasoning_text refusal blob uri file image "
        "image_url input_image input_audio audio video media input_file document"
    )
)


def usage_of(value: Any, depth: int = 4) -> Any:
    """Counts, and facts such as why an answer ended; None where there are none."""
    if not isinstance(value, Mapping) or not depth:
        return None
    counts: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str) or not KEY.fullmatch(name):
            continue
        if isinstance(item, (int, float)):
            counts[name] = item
        elif isinstance(item, Mapping):
            put(counts, name, usage_of(item, depth - 1))
        elif name not in NAMES and name in KEPT and KEPT[name](item):
            counts[name] = item
        elif is_list(item):
            put(counts, name, [inner for inner in (usage_of(one, depth - 1) for one in item) if inner] or None)
    return counts or None
