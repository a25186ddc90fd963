"""Messages reduced to their shape, wherever they stand in a value.

They are read by the members they have, whoever wrote them: the shapes of OpenTelemetry, OpenAI, Anthropic, Gemini,
Bedrock, LangChain and others differ in names more than in structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew._content import Content
from clew._content.hashing import parsed
from clew._content.leaves import KEY, is_list, leaf_of, put, safe_name, unwrapped, written
from clew._content.members import (
    ANSWER_TYPES,
    ARGUMENTS,
    CALL_TYPES,
    CALLS,
    CONTENTS,
    EXECUTION_TYPES,
    INNER_ANSWER,
    INNER_CALL,
    INNER_EXECUTION,
    INNER_MESSAGE,
    KEPT,
    NAMES,
    PART_TYPES,
    ROLE_NAMES,
    SAYING,
    TELLING,
    USAGE,
    is_count,
    is_identifier,
    is_role,
    role_of,
    usage_of,
)
from clew._content.modes import Modes, stricter


def shape_of(value: Any, modes: Modes, depth: int) -> Any:
    """The shape of what holds messages; None for what holds none."""
    if not depth:
        return None
    if isinstance(value, str):
        document = parsed(value)
        shape = None if document is None else shape_of(document, modes, depth - 1)
        return None if shape is None else written(shape)
    if isinstance(value, Mapping):
        if _is_message(value):
            return _message(value, modes, None, depth)
        if _is_part(value):
            return _part(value, modes, modes.messages, depth)
        return _around(value, modes, depth)
    if not is_list(value):
        return None
    if value and all(isinstance(item, Mapping) and (_is_part(item) or _is_text_part(item)) for item in value):
        return [_part(item, modes, modes.messages, depth) for item in value]
    shapes = [shape_of(item, modes, depth - 1) for item in value]
    if all(shape is None for shape in shapes):
        return None
    own = stricter(modes.messages, modes.tools)
    leaves = (leaf_of(item, own) if shape is None else shape for item, shape in zip(value, shapes, strict=True))
    return [leaf for leaf in leaves if leaf is not None]


def _around(value: Mapping[Any, Any], modes: Modes, depth: int) -> dict[str, Any] | None:
    """An object that is no message and may have some in it."""
    shapes: dict[Any, Any] = {}
    for name, item in value.items():
        shape = usage_of(item) if name in USAGE else shape_of(item, modes, depth - 1)
        if shape is not None:
            shapes[name] = shape
    if not shapes:
        return None
    own = stricter(modes.messages, modes.tools)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in shapes:
            kept[safe_name(name, own)] = shapes[name]
        elif name in KEPT and name not in NAMES and KEPT[name](item):
            kept[name] = item
        elif name in ("system", "system_instruction", "systemInstruction", "instructions"):
            put(kept, name, leaf_of(item, stricter(modes.system, modes.messages)))
        elif isinstance(item, (str, Mapping)) or is_list(item):
            put(kept, safe_name(name, own), leaf_of(item, own))
    return kept


def _is_message(value: Mapping[Any, Any]) -> bool:
    said = not SAYING.isdisjoint(value)
    if said and any(is_role(value[name]) for name in ROLE_NAMES if name in value):
        return True
    if "event.name" in value and str(value["event.name"]).startswith("gen_ai."):
        return True
    kind = value.get("type")
    if value.get("lc") == 1 or (isinstance(kind, str) and kind in ("constructor", "message")):
        inner = value.get("kwargs", value if kind == "message" else None)
        return isinstance(inner, Mapping)
    return said and role_of(kind) is not None and kind not in PART_TYPES


def _is_part(value: Mapping[Any, Any]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str) and kind in EXECUTION_TYPES:
        return not TELLING.isdisjoint(value)
    if any(isinstance(value[name], Mapping) for name in INNER_EXECUTION.intersection(value)):
        return True
    return kind is None and "tool_call_id" in value and "tool_name" in value  # Pydantic AI's deferred calls


def _is_text_part(value: Mapping[Any, Any]) -> bool:
    kind = value.get("type")
    if isinstance(kind, str):
        return kind in PART_TYPES
    return set(value) <= {"text", "cachePoint", "thought"} and isinstance(value.get("text"), str)


def _message(value: Mapping[Any, Any], modes: Modes, speaker: str | None, depth: int) -> dict[str, Any]:
    kind = value.get("type")
    role = next((found for name in ROLE_NAMES if (found := role_of(value.get(name)))), None)
    role = role or role_of(kind) or _class_role(value.get("id")) or _event_role(value.get("event.name")) or speaker
    own = stricter(modes.messages, {"system": modes.system, "tool": modes.tools}.get(role or "", Content.FULL))
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if item is None:
            continue
        if name in NAMES:
            # A user's name is personal, a tool's is not.
            put(kept, name, item if role == "tool" and is_identifier(item) else leaf_of(item, own))
        elif name in KEPT:
            put(kept, name, item if KEPT[name](item) else leaf_of(item, own))
        elif name in USAGE:
            put(kept, name, usage_of(item))
        elif name in CALLS:
            put(kept, name, _called(item, modes, depth - 1))
        elif name in CONTENTS or name in ("output", "response", "result"):
            put(kept, name, _content(item, modes, own, role, depth - 1))
        elif name in ARGUMENTS:
            put(kept, name, leaf_of(item, stricter(modes.messages, modes.tools)))
        elif name in INNER_MESSAGE and isinstance(item, Mapping) and depth:
            put(kept, name, _message(item, modes, role, depth - 1))
        elif own is Content.FULL:
            kept[name] = item
    return kept


def _class_role(path: Any) -> str | None:
    return role_of(path[-1]) if is_list(path) and path else None


def _event_role(name: Any) -> str | None:
    if not isinstance(name, str) or not name.startswith("gen_ai."):
        return None
    return "assistant" if name == "gen_ai.choice" else role_of(name.split(".")[1])


def _content(value: Any, modes: Modes, own: Content, role: str | None, depth: int) -> Any:
    if isinstance(value, str):
        document = parsed(value) if role != "tool" else None
        shape = None if document is None else shape_of(document, modes.within(own), depth - 1)
        return leaf_of(unwrapped(value) if role == "tool" else value, own) if shape is None else written(shape)
    if depth <= 0 or not (isinstance(value, Mapping) or is_list(value)):
        return leaf_of(value, own)
    if isinstance(value, Mapping):
        return _part(value, modes, own, depth - 1)
    if role == "tool" and not any(isinstance(item, Mapping) and _is_part(item) for item in value):
        return leaf_of(unwrapped(value), own)
    parts = [_part(item, modes, own, depth - 1) for item in value]
    return [part for part in parts if part is not None]


def _part(value: Any, modes: Modes, own: Content, depth: int) -> Any:
    if not isinstance(value, Mapping) or depth <= 0:
        return leaf_of(value, own)
    kind = value.get("type", value.get("block_type"))
    if kind in CALL_TYPES or any(isinstance(value[name], Mapping) for name in INNER_CALL.intersection(value)):
        return _called(value, modes, depth)
    if kind in ANSWER_TYPES or any(isinstance(value[name], Mapping) for name in INNER_ANSWER.intersection(value)):
        return _answered(value, modes, depth)
    if any(name in value for name in ROLE_NAMES):
        return _message(value, modes, None, depth)
    if kind is None and not (ARGUMENTS.isdisjoint(value) or NAMES.isdisjoint(value)):
        return _called(value, modes, depth)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in KEPT and name not in NAMES and KEPT[name](item):
            kept[name] = item
        elif isinstance(item, Mapping):
            put(kept, safe_name(name, own), _part(item, modes, own, depth - 1))
        elif is_list(item):
            put(kept, safe_name(name, own), _content(item, modes, own, None, depth - 1))
        elif isinstance(item, bool) or item is None:
            kept[safe_name(name, own)] = item
        elif name in CONTENTS and isinstance(item, str):
            put(kept, name, _content(item, modes, own, None, depth - 1))
        else:
            put(kept, safe_name(name, own), leaf_of(item, own))
    return kept


def _called(value: Any, modes: Modes, depth: int) -> Any:
    """Tool calls that are asked for."""
    own = stricter(modes.messages, modes.tools)
    if depth > 0 and is_list(value):
        return [_called(item, modes, depth - 1) for item in value]
    if depth <= 0 or not isinstance(value, Mapping):
        return leaf_of(value, own)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in KEPT and KEPT[name](item):
            kept[name] = item
        elif name in INNER_CALL and isinstance(item, Mapping):
            kept[name] = _called(item, modes, depth - 1)
        elif own is Content.FULL or name in ARGUMENTS:
            put(kept, name, leaf_of(item, own))
    return kept


def _answered(value: Any, modes: Modes, depth: int) -> Any:
    """What a tool gave back, as a part of a message."""
    own = stricter(modes.messages, modes.tools)
    if depth <= 0 or not isinstance(value, Mapping):
        return leaf_of(value, own)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in KEPT and KEPT[name](item):
            kept[name] = item
        elif name in INNER_ANSWER and isinstance(item, Mapping):
            kept[name] = _answered(item, modes, depth - 1)
        elif name == "origin" and isinstance(item, Mapping):
            kept[name] = _called(item, modes, depth - 1)
        elif isinstance(name, str) and KEY.fullmatch(name):
            put(kept, name, item if is_count(item) else leaf_of(unwrapped(item), own))
    return kept
