"""Content reduced to its shape: who spoke, in what kinds of parts, which tools were called; texts hashed or left out.

Messages are read by the members they have, whoever wrote them: the shapes of OpenTelemetry, OpenAI, Anthropic, Gemini,
Bedrock, LangChain and others differ in names more than in structure. A member is kept only where its name is known and
its value looks like what the name says (a role, an identifier, a count); all else is content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clew._content import Content
from clew._content.hashing import canonical, mark, parsed, told
from clew._content.places import Form, Place

_DEPTH = 12
"""Deepest nesting that is looked into; what is deeper is one text."""


_RANK = {mode: rank for rank, mode in enumerate(Content)}


class Modes(NamedTuple):
    """What is kept of each class of text inside of messages: `FULL`, `HASHED`, or nothing of it."""

    messages: Content
    system: Content
    tools: Content

    def strictest(self) -> Content:
        """The one that keeps least."""
        return stricter(self.messages, stricter(self.system, self.tools))

    def within(self, least: Content) -> Modes:
        """The same, and nowhere more than `least`."""
        return Modes(*(stricter(mode, least) for mode in self))


def stricter(one: Content, other: Content) -> Content:
    """The mode that keeps less."""
    return one if _RANK[one] <= _RANK[other] else other


def reduced(value: Any, where: Place, modes: Modes, own: Content) -> Any:
    """The value without the texts that may not leave the process; None where nothing of it is left.

    Args:
        value: Of an attribute: text, bytes, structured.
        where: What it holds.
        modes: What is kept of texts inside of messages.
        own: What is kept of a value that holds no message.
    """
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("utf-8", "replace")
    return _FORMS[where.form](value, modes, own)


def reduced_field(name: str, value: Any, own: Content, role: Any) -> Any:
    """The same for an attribute that is one field of a message and says which in its name: `...0.message.role`.

    Args:
        name: The attribute's name.
        value: Its value.
        own: What is kept of text.
        role: The role of the same message, where an attribute beside says it.
    """
    *before, last = name.split(".")
    last = "id" if last in _IDS else last
    if last == "vector":
        return value if own is Content.FULL else None
    if isinstance(value, (bool, int, float)):
        return value
    if last == "name" and not any(part in ("tool_call", "tool_calls", "function", "functions") for part in before):
        last = "name" if role in ("tool", "function") else "content"
    if last in _KEPT and _KEPT[last](value):
        return value
    if last in ("json_schema", "parameters"):
        return _definitions(value, Modes(own, own, own), own)
    return _leaf(_unwrapped(value), own)


def _messages(value: Any, modes: Modes, own: Content) -> Any:
    return _opened(value, modes, _leaf, own)


def _either(value: Any, modes: Modes, own: Content) -> Any:
    return _opened(value, modes, _execution, stricter(own, modes.tools))


def _opened(value: Any, modes: Modes, leaf: Any, own: Content) -> Any:
    document = parsed(value) if isinstance(value, str) else value
    shape = None if document is None or isinstance(document, str) else _walk(document, modes, _DEPTH)
    if shape is None:
        return leaf(value, own)
    return _written(shape) if isinstance(value, str) else shape


def _value(value: Any, modes: Modes, own: Content) -> Any:
    del modes
    shape = _execution_shape(value, own)
    return _leaf(value, own) if shape is None else shape


def _answer(value: Any, modes: Modes, own: Content) -> Any:
    del modes
    return _execution(value, own)


def _execution(value: Any, own: Content) -> Any:
    shape = _execution_shape(value, own)
    return _leaf(_unwrapped(value), own) if shape is None else shape


def _execution_shape(value: Any, own: Content) -> Any:
    """What LangChain's callbacks tell of a tool's execution; None for all else.

    Arguments or result stand there among what differs from call to call, with the id of the call.
    """
    document = parsed(value) if isinstance(value, str) else value
    if not isinstance(document, Mapping) or not any(name in document for name in ("kwargs", "tags", "metadata")):
        return None
    told = {name: document[name] for name in ("inputs", "input_str", "output") if name in document}
    if not told:
        return None
    kept: dict[str, Any] = {}
    for name, item in told.items():
        inner = item.get("kwargs") if isinstance(item, Mapping) else None
        if isinstance(inner, Mapping) and "content" in inner:  # a message
            said: dict[str, Any] = {}
            _put(said, "content", _leaf(_unwrapped(inner["content"]), own))
            kept[name] = {"kwargs": said | _call_id(inner)}
        else:
            _put(kept, name, _leaf(_unwrapped(item), own))
    if identified := _call_id(document.get("kwargs")):
        kept["kwargs"] = identified
    if rest := {name: item for name, item in document.items() if name not in told}:
        _put(kept, "other", _leaf(rest, own))
    return _written(kept) if isinstance(value, str) else kept


def _call_id(members: Any) -> dict[str, Any]:
    found = members.get("tool_call_id") if isinstance(members, Mapping) else None
    return {"tool_call_id": found} if _is_identifier(found) else {}


def _definitions(value: Any, modes: Modes, own: Content) -> Any:
    if _is_list(value) and all(isinstance(item, str) for item in value):  # JSON each, as Vercel AI has them
        items = [_definitions(item, modes, own) for item in value]
        return [item for item in items if item is not None] or None
    document = parsed(value) if isinstance(value, str) else value
    if document is None or isinstance(document, str):
        return _leaf(value, own)
    shape = _definition(document, own, _DEPTH)
    return _written(shape) if isinstance(value, str) else shape


def _definition(value: Any, own: Content, depth: int) -> Any:
    if depth and _is_list(value):
        return [_definition(item, own, depth - 1) for item in value]
    if not isinstance(value, Mapping):
        return _leaf(value, own)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in ("name", "type") and _is_identifier(item):
            kept[name] = item
        elif depth and name in ("function", "functions", "tools", "function_tools", "function_declarations"):
            kept[name] = _definition(item, own, depth - 1)
        else:
            _put(kept, _safe(name, own), _leaf(item, own))
    return kept


def _parameters(value: Any, modes: Modes, own: Content) -> Any:
    del modes
    document = parsed(value) if isinstance(value, str) else value
    if document is None or isinstance(document, str):
        return _leaf(value, own)
    shape = _settings(document, own, _DEPTH)
    return _written(shape) if isinstance(value, str) else shape


def _settings(value: Any, own: Content, depth: int) -> Any:
    if _is_count(value) or _is_identifier(value):
        return value
    if depth and isinstance(value, Mapping):
        settings = {
            _safe(name, own): _leaf(item, own) if name in _TOLD else _settings(item, own, depth - 1)
            for name, item in value.items()
        }
        return {name: item for name, item in settings.items() if item is not None}
    if depth and _is_list(value):
        return [item for item in (_settings(one, own, depth - 1) for one in value) if item is not None]
    return _leaf(value, own)


def _failure(value: Any, modes: Modes, own: Content) -> Any:
    """What went wrong, without what it was about."""
    del modes
    kind = _FAILURE.match(value) if isinstance(value, str) else None
    told = _leaf(value, own)
    return told if kind is None else f"{kind.group()} {told or ''}".rstrip()


def _stack(value: Any, modes: Modes, own: Content) -> Any:
    """Where it was, without the lines of the sources and without what the exceptions say."""
    del modes
    if not isinstance(value, str):
        return _leaf(value, own)
    frames = "\n".join(line.strip() for line in value.splitlines() if _FRAME.fullmatch(line))
    told = _leaf(value, own)
    return "\n".join(filter(None, (frames, told))) or None


# Up to a line's end each; of what stands in quotes, nothing that is no path is likely to be on a line like this.
_FRAME = re.compile(r' {1,8}+File "[^"\n]{1,512}+", line [0-9]{1,9}+, in [A-Za-z0-9_<>.]{1,256}+')

_FAILURE = re.compile(r"\(?+[A-Za-z_.]{0,60}(?:Error|Exception|Interrupt|Cancelled|Exit)[(:]")

_FORMS = {
    Form.MESSAGES: _messages,
    Form.VALUE: _value,
    Form.ANSWER: _answer,
    Form.EITHER: _either,
    Form.DEFINITIONS: _definitions,
    Form.PARAMETERS: _parameters,
    Form.FLAT: _value,
    Form.FAILURE: _failure,
    Form.STACK: _stack,
}


def _leaf(value: Any, mode: Content) -> Any:
    """A text, or a value as one text: itself, its mark, or None."""
    if mode is Content.FULL or value is None or value == "":
        return value
    return mark(canonical(value)) if mode is Content.HASHED else None


def _put(kept: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        kept[name] = value


def _written(shape: Any) -> str:
    return json.dumps(shape, ensure_ascii=False, separators=(",", ":"))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


# What may be kept, by its name.


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def _is_role(value: Any) -> bool:
    return isinstance(value, str) and _role(value) is not None


def _is_path(value: Any) -> bool:
    """The path of a class, as LangChain writes it, or an identifier."""
    return _is_identifier(value) or (_is_list(value) and 0 < len(value) < 10 and all(map(_is_identifier, value)))


def _is_count(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))


def _role(word: Any) -> str | None:
    """The canonical role that a word stands for: a provider's role, or the name of a message class."""
    if not isinstance(word, str) or len(word) > 40:
        return None
    last = word.rpartition(".")[2].lower().removesuffix("chunk")
    return _ROLES.get(last.removesuffix("message") or last)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/|-]{0,127}+")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}+")
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
_ROLE_NAMES = ("role", "_role", "message.role")
_IDS = _words(
    "id tool_call_id call_id callId toolCallId toolUseId tool_use_id ref tool_call.id message.tool_call_id "
    "message_id response_id"
)
_NAMES = frozenset({"name", "toolName", "tool_name", "tool_call.function.name", "function_call_name"})
_KEPT = {
    name: may_be
    for may_be, names in {
        _is_role: " ".join(_ROLE_NAMES),
        _is_path: " ".join(_IDS),
        _is_count: "index is_error isError lc created approved denied",
        _is_identifier: " ".join(_NAMES)
        + " type block_type event.name object status modality model model_name response_model modelVersion"
        " model_version finish_reason stop_reason finishReason stopReason mime_type media_type service_tier",
    }.items()
    for name in names.split()
}
"""Members that say what something is, and what they may be; whatever else is in them is content."""
_USAGE = _words(
    "usage usage_metadata usageMetadata token_usage tokenUsage usage_details models_usage "
    "generation_info llm_output response_metadata"
)
_CONTENTS = _words("content parts contents blocks text _content message.content reasoning_content refusal")
_CALLS = _words("tool_calls function_call message.tool_calls invalid_tool_calls")
_ARGUMENTS = _words("arguments args input partial_args tool_call.function.arguments function_call_arguments_json")
_TOLD = _CONTENTS | _words(
    "system system_instruction systemInstruction instructions prompt messages input inputs description goal backstory "
    "expected_output suffix stop user tools functions"
)
_INNER_MESSAGE = _words("message data kwargs additional_kwargs delta meta")
_INNER_CALL = _words("function tool_call functionCall toolUse toolRequest function_call")
_INNER_ANSWER = _words("functionResponse function_response toolResult toolResponse tool_call_result tool_result")
_CALL_TYPES = _words("tool_call tool-call tool_use server_tool_use function_call function")
_ANSWER_TYPES = _words(
    "tool_call_response tool_result tool-result function_call_output tool_call_result function_response"
)
_SAYING = _CONTENTS | _CALLS
_TELLING = _NAMES | _IDS | _INNER_CALL
_INNER_EXECUTION = (_INNER_CALL | _INNER_ANSWER) - {"function"}
_EXECUTION_TYPES = _CALL_TYPES | _ANSWER_TYPES
_PART_TYPES = (
    _CALL_TYPES
    | _ANSWER_TYPES
    | _words(
        "text input_text output_text summary_text reasoning thinking reasoning_text refusal blob uri file image "
        "image_url input_image input_audio audio video media input_file document"
    )
)


def _usage(value: Any, depth: int = 4) -> Any:
    """Counts, and facts such as why an answer ended; None where there are none."""
    if not isinstance(value, Mapping) or not depth:
        return None
    counts: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str) or not _KEY.fullmatch(name):
            continue
        if isinstance(item, (int, float)):
            counts[name] = item
        elif isinstance(item, Mapping):
            _put(counts, name, _usage(item, depth - 1))
        elif name not in _NAMES and name in _KEPT and _KEPT[name](item):
            counts[name] = item
        elif _is_list(item):
            _put(counts, name, [inner for inner in (_usage(one, depth - 1) for one in item) if inner] or None)
    return counts or None


# Walking what may have messages in it.


def _walk(value: Any, modes: Modes, depth: int) -> Any:
    """The shape of what holds messages; None for what holds none."""
    if not depth:
        return None
    if isinstance(value, str):
        document = parsed(value)
        shape = None if document is None else _walk(document, modes, depth - 1)
        return None if shape is None else _written(shape)
    if isinstance(value, Mapping):
        if _is_message(value):
            return _message(value, modes, None, depth)
        if _is_part(value):
            return _part(value, modes, modes.messages, depth)
        return _around(value, modes, depth)
    if not _is_list(value):
        return None
    if value and all(isinstance(item, Mapping) and (_is_part(item) or _is_text_part(item)) for item in value):
        return [_part(item, modes, modes.messages, depth) for item in value]
    shapes = [_walk(item, modes, depth - 1) for item in value]
    if all(shape is None for shape in shapes):
        return None
    own = stricter(modes.messages, modes.tools)
    leaves = (_leaf(item, own) if shape is None else shape for item, shape in zip(value, shapes, strict=True))
    return [leaf for leaf in leaves if leaf is not None]


def _around(value: Mapping[Any, Any], modes: Modes, depth: int) -> dict[str, Any] | None:
    """An object that is no message and may have some in it."""
    shapes: dict[Any, Any] = {}
    for name, item in value.items():
        shape = _usage(item) if name in _USAGE else _walk(item, modes, depth - 1)
        if shape is not None:
            shapes[name] = shape
    if not shapes:
        return None
    own = stricter(modes.messages, modes.tools)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in shapes:
            kept[_safe(name, own)] = shapes[name]
        elif name in _KEPT and name not in _NAMES and _KEPT[name](item):
            kept[name] = item
        elif name in ("system", "system_instruction", "systemInstruction", "instructions"):
            _put(kept, name, _leaf(item, stricter(modes.system, modes.messages)))
        elif isinstance(item, (str, Mapping)) or _is_list(item):
            _put(kept, _safe(name, own), _leaf(item, own))
    return kept


def _safe(name: Any, mode: Content) -> str:
    """A member's name, which may be content as well."""
    text = str(name)
    if mode is Content.FULL or _KEY.fullmatch(text):
        return text
    return mark(text) if mode is Content.HASHED else "other"


def _is_message(value: Mapping[Any, Any]) -> bool:
    said = not _SAYING.isdisjoint(value)
    if said and any(_is_role(value[name]) for name in _ROLE_NAMES if name in value):
        return True
    if "event.name" in value and str(value["event.name"]).startswith("gen_ai."):
        return True
    kind = value.get("type")
    if value.get("lc") == 1 or (isinstance(kind, str) and kind in ("constructor", "message")):
        inner = value.get("kwargs", value if kind == "message" else None)
        return isinstance(inner, Mapping)
    return said and _role(kind) is not None and kind not in _PART_TYPES


def _is_part(value: Mapping[Any, Any]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str) and kind in _EXECUTION_TYPES:
        return not _TELLING.isdisjoint(value)
    if any(isinstance(value[name], Mapping) for name in _INNER_EXECUTION.intersection(value)):
        return True
    return kind is None and "tool_call_id" in value and "tool_name" in value  # Pydantic AI's deferred calls


def _is_text_part(value: Mapping[Any, Any]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str):
        return kind in _PART_TYPES
    return set(value) <= {"text", "cachePoint", "thought"} and isinstance(value.get("text"), str)


def _message(value: Mapping[Any, Any], modes: Modes, speaker: str | None, depth: int) -> dict[str, Any]:
    kind = value.get("type")
    role = next((found for name in _ROLE_NAMES if (found := _role(value.get(name)))), None)
    role = role or _role(kind) or _class_role(value.get("id")) or _event_role(value.get("event.name")) or speaker
    own = stricter(modes.messages, {"system": modes.system, "tool": modes.tools}.get(role or "", Content.FULL))
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if item is None:
            continue
        if name in _NAMES:
            # A user's name is personal, a tool's is not.
            _put(kept, name, item if role == "tool" and _is_identifier(item) else _leaf(item, own))
        elif name in _KEPT:
            _put(kept, name, item if _KEPT[name](item) else _leaf(item, own))
        elif name in _USAGE:
            _put(kept, name, _usage(item))
        elif name in _CALLS:
            _put(kept, name, _called(item, modes, depth - 1))
        elif name in _CONTENTS or name in ("output", "response", "result"):
            _put(kept, name, _content(item, modes, own, role, depth - 1))
        elif name in _ARGUMENTS:
            _put(kept, name, _leaf(item, stricter(modes.messages, modes.tools)))
        elif name in _INNER_MESSAGE and isinstance(item, Mapping) and depth:
            _put(kept, name, _message(item, modes, role, depth - 1))
        elif own is Content.FULL:
            kept[name] = item
    return kept


def _class_role(path: Any) -> str | None:
    return _role(path[-1]) if _is_list(path) and path else None


def _event_role(name: Any) -> str | None:
    if not isinstance(name, str) or not name.startswith("gen_ai."):
        return None
    return "assistant" if name == "gen_ai.choice" else _role(name.split(".")[1])


def _content(value: Any, modes: Modes, own: Content, role: str | None, depth: int) -> Any:
    if isinstance(value, str):
        document = parsed(value) if role != "tool" else None
        shape = None if document is None else _walk(document, modes.within(own), depth - 1)
        return _leaf(_unwrapped(value) if role == "tool" else value, own) if shape is None else _written(shape)
    if depth <= 0 or not (isinstance(value, Mapping) or _is_list(value)):
        return _leaf(value, own)
    if isinstance(value, Mapping):
        return _part(value, modes, own, depth - 1)
    if role == "tool" and not any(isinstance(item, Mapping) and _is_part(item) for item in value):
        return _leaf(_unwrapped(value), own)
    parts = [_part(item, modes, own, depth - 1) for item in value]
    return [part for part in parts if part is not None]


def _part(value: Any, modes: Modes, own: Content, depth: int) -> Any:
    if not isinstance(value, Mapping) or depth <= 0:
        return _leaf(value, own)
    kind = value.get("type", value.get("block_type"))
    if kind in _CALL_TYPES or any(isinstance(value[name], Mapping) for name in _INNER_CALL.intersection(value)):
        return _called(value, modes, depth)
    if kind in _ANSWER_TYPES or any(isinstance(value[name], Mapping) for name in _INNER_ANSWER.intersection(value)):
        return _answered(value, modes, depth)
    if any(name in value for name in _ROLE_NAMES):
        return _message(value, modes, None, depth)
    if kind is None and not (_ARGUMENTS.isdisjoint(value) or _NAMES.isdisjoint(value)):
        return _called(value, modes, depth)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in _KEPT and name not in _NAMES and _KEPT[name](item):
            kept[name] = item
        elif isinstance(item, Mapping):
            _put(kept, _safe(name, own), _part(item, modes, own, depth - 1))
        elif _is_list(item):
            _put(kept, _safe(name, own), _content(item, modes, own, None, depth - 1))
        elif isinstance(item, bool) or item is None:
            kept[_safe(name, own)] = item
        elif name in _CONTENTS and isinstance(item, str):
            _put(kept, name, _content(item, modes, own, None, depth - 1))
        else:
            _put(kept, _safe(name, own), _leaf(item, own))
    return kept


def _called(value: Any, modes: Modes, depth: int) -> Any:
    """Tool calls that are asked for."""
    own = stricter(modes.messages, modes.tools)
    if depth > 0 and _is_list(value):
        return [_called(item, modes, depth - 1) for item in value]
    if depth <= 0 or not isinstance(value, Mapping):
        return _leaf(value, own)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in _KEPT and _KEPT[name](item):
            kept[name] = item
        elif name in _INNER_CALL and isinstance(item, Mapping):
            kept[name] = _called(item, modes, depth - 1)
        elif own is Content.FULL or name in _ARGUMENTS:
            _put(kept, name, _leaf(item, own))
    return kept


def _answered(value: Any, modes: Modes, depth: int) -> Any:
    """What a tool gave back, as a part of a message."""
    own = stricter(modes.messages, modes.tools)
    if depth <= 0 or not isinstance(value, Mapping):
        return _leaf(value, own)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in _KEPT and _KEPT[name](item):
            kept[name] = item
        elif name in _INNER_ANSWER and isinstance(item, Mapping):
            kept[name] = _answered(item, modes, depth - 1)
        elif name == "origin" and isinstance(item, Mapping):
            kept[name] = _called(item, modes, depth - 1)
        elif isinstance(name, str) and _KEY.fullmatch(name):
            _put(kept, name, item if _is_count(item) else _leaf(_unwrapped(item), own))
    return kept


def _unwrapped(value: Any, depth: int = 4) -> Any:
    """What a tool gave back, where this is only its wrapping: a list of one text, `{"result": ...}`, a text part.

    The same wrappings as the processor takes off, so that a result in a message and on the tool's span are equal.
    """
    document = told(value) if isinstance(value, str) else value
    if isinstance(document, str):
        return document
    inner: Any = None
    if _is_list(document) and len(document) == 1 and isinstance(document[0], Mapping):
        only = document[0]
        inner = only.get("json") if set(only) == {"json"} else _text_of(only)
    elif isinstance(document, Mapping):
        if len(document) == 1:
            inner = document.get("result", document.get("output"))
        elif set(document) == {"type", "value"}:
            inner = document["value"]
        inner = _text_of(document) if inner is None else inner
    return value if inner is None or not depth else _unwrapped(inner, depth - 1)


def _text_of(part: Mapping[Any, Any]) -> Any:
    if set(part) == {"text"} or (part.get("type") == "text" and len(part) == 2):
        text = part.get("text", part.get("content"))
        return text if isinstance(text, str) else None
    return None
