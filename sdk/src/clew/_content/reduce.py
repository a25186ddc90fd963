"""Content reduced to its shape: who spoke, in what kinds of parts, which tools were called; texts hashed or left out.

What a value is comes from the name of its attribute (`places`); each form is read in its own way, and what has messages
in it by `messages`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from clew._content import Content
from clew._content.hashing import parsed
from clew._content.leaves import DEPTH, is_list, leaf_of, put, safe_name, unwrapped, written
from clew._content.members import IDS, KEPT, TOLD, is_count, is_identifier
from clew._content.messages import shape_of
from clew._content.modes import Modes, stricter
from clew._content.places import Form, Place


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
    last = "id" if last in IDS else last
    if last == "vector":
        return value if own is Content.FULL else None
    if isinstance(value, (bool, int, float)):
        return value
    if last == "name" and not any(part in ("tool_call", "tool_calls", "function", "functions") for part in before):
        last = "name" if role in ("tool", "function") else "content"
    if last in KEPT and KEPT[last](value):
        return value
    if last in ("json_schema", "parameters"):
        return _definitions(value, Modes(own, own, own), own)
    return leaf_of(unwrapped(value), own)


def _messages(value: Any, modes: Modes, own: Content) -> Any:
    return _opened(value, modes, leaf_of, own)


def _either(value: Any, modes: Modes, own: Content) -> Any:
    return _opened(value, modes, _execution, stricter(own, modes.tools))


def _opened(value: Any, modes: Modes, leaf: Any, own: Content) -> Any:
    document = parsed(value) if isinstance(value, str) else value
    shape = None if document is None or isinstance(document, str) else shape_of(document, modes, DEPTH)
    if shape is None:
        return leaf(value, own)
    return written(shape) if isinstance(value, str) else shape


def _value(value: Any, modes: Modes, own: Content) -> Any:
    del modes
    shape = _execution_shape(value, own)
    return leaf_of(value, own) if shape is None else shape


def _answer(value: Any, modes: Modes, own: Content) -> Any:
    del modes
    return _execution(value, own)


def _execution(value: Any, own: Content) -> Any:
    shape = _execution_shape(value, own)
    return leaf_of(unwrapped(value), own) if shape is None else shape


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
            put(said, "content", leaf_of(unwrapped(inner["content"]), own))
            kept[name] = {"kwargs": said | _call_id(inner)}
        else:
            put(kept, name, leaf_of(unwrapped(item), own))
    if identified := _call_id(document.get("kwargs")):
        kept["kwargs"] = identified
    if rest := {name: item for name, item in document.items() if name not in told}:
        put(kept, "other", leaf_of(rest, own))
    return written(kept) if isinstance(value, str) else kept


def _call_id(members: Any) -> dict[str, Any]:
    found = members.get("tool_call_id") if isinstance(members, Mapping) else None
    return {"tool_call_id": found} if is_identifier(found) else {}


def _definitions(value: Any, modes: Modes, own: Content) -> Any:
    if is_list(value) and all(isinstance(item, str) for item in value):  # JSON each, as Vercel AI has them
        items = [_definitions(item, modes, own) for item in value]
        return [item for item in items if item is not None] or None
    document = parsed(value) if isinstance(value, str) else value
    if document is None or isinstance(document, str):
        return leaf_of(value, own)
    shape = _definition(document, own, DEPTH)
    return written(shape) if isinstance(value, str) else shape


def _definition(value: Any, own: Content, depth: int) -> Any:
    if depth and is_list(value):
        return [_definition(item, own, depth - 1) for item in value]
    if not isinstance(value, Mapping):
        return leaf_of(value, own)
    kept: dict[str, Any] = {}
    for name, item in value.items():
        if name in ("name", "type") and is_identifier(item):
            kept[name] = item
        elif depth and name in ("function", "functions", "tools", "function_tools", "function_declarations"):
            kept[name] = _definition(item, own, depth - 1)
        else:
            put(kept, safe_name(name, own), leaf_of(item, own))
    return kept


def _parameters(value: Any, modes: Modes, own: Content) -> Any:
    del modes
    document = parsed(value) if isinstance(value, str) else value
    if document is None or isinstance(document, str):
        return leaf_of(value, own)
    shape = _settings(document, own, DEPTH)
    return written(shape) if isinstance(value, str) else shape


def _settings(value: Any, own: Content, depth: int) -> Any:
    if is_count(value) or is_identifier(value):
        return value
    if depth and isinstance(value, Mapping):
        settings = {
            safe_name(name, own): leaf_of(item, own) if name in TOLD else _settings(item, own, depth - 1)
            for name, item in value.items()
        }
        return {name: item for name, item in settings.items() if item is not None}
    if depth and is_list(value):
        return [item for item in (_settings(one, own, depth - 1) for one in value) if item is not None]
    return leaf_of(value, own)


def _failure(value: Any, modes: Modes, own: Content) -> Any:
    """What went wrong, without what it was about."""
    del modes
    kind = _FAILURE.match(value) if isinstance(value, str) else None
    told = leaf_of(value, own)
    return told if kind is None else f"{kind.group()} {told or ''}".rstrip()


def _stack(value: Any, modes: Modes, own: Content) -> Any:
    """Where it was, without the lines of the sources and without what the exceptions say."""
    del modes
    if not isinstance(value, str):
        return leaf_of(value, own)
    frames = "\n".join(line.strip() for line in value.splitlines() if _FRAME.fullmatch(line))
    told = leaf_of(value, own)
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
