"""Takes the machine out of payloads: paths, host, ports, process. What the instrumentation says stays as it is."""

from __future__ import annotations

import getpass
import re
import socket
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

_DROPPED = re.compile(r"^(host|process|os|container|k8s|cloud)\.|^service\.instance\.id$|^openlit\.|^SYSTEM")
_PORTS = re.compile(r"(127\.0\.0\.1|localhost)(:|%3A)\d{4,5}")
_PATHS = (
    (re.compile(r"/[^\s\"'\\]*?/(site-packages|dist-packages)/"), "/app/lib/"),
    (re.compile(r"/[^\s\"'\\]*?/lib/python3\.\d+/"), "/app/python/"),
    (re.compile(r"/[^\s\"'\\]*?/record/programs/"), "/app/"),
    (re.compile(r"/(tmp|root|home|work|Users)(/[\w.@+-]+)*"), "/app"),
)
_PORT_KEYS = {"server.port", "net.peer.port", "network.peer.port"}
MODEL_PORT = 8080


class Scrubber:
    """Replaces what tells where a payload was recorded; forbidden words are those of the recording machine."""

    def __init__(self, *forbidden: str) -> None:
        names = {socket.gethostname(), socket.getfqdn(), *forbidden} - {"", "localhost"}
        self._names = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names)))
        self._user = getpass.getuser()

    def request(self, request: Message) -> None:
        """Scrubs an export request in place."""
        for group in request.ListFields()[0][1] if request.ListFields() else ():
            kept = [pair for pair in group.resource.attributes if not _DROPPED.match(pair.key)]
            del group.resource.attributes[:]
            group.resource.attributes.extend(kept)
        self._message(request)

    def _message(self, message: Message) -> None:
        key = getattr(message, "key", "")
        for field, value in message.ListFields():
            if isinstance(value, Message):
                self._message(value)
            elif isinstance(value, str):
                setattr(message, field.name, self.text(value))
            elif not isinstance(value, (bytes, int, float, bool)):
                for index, item in enumerate(value):
                    if isinstance(item, str):
                        value[index] = self.text(item)
                    else:
                        self._message(item)
        if key in _PORT_KEYS and message.value.HasField("int_value"):  # type: ignore[attr-defined]
            message.value.int_value = MODEL_PORT  # type: ignore[attr-defined]

    def text(self, text: str) -> str:
        text = _PORTS.sub(rf"\1\g<2>{MODEL_PORT}", text)
        for pattern, instead in _PATHS:
            text = pattern.sub(instead, text)
        return self._names.sub("app-host", text)


def strings(message: Message) -> Iterator[str]:
    """Every text in a message."""
    for _, value in message.ListFields():
        yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Message):
        yield from strings(value)
    elif not isinstance(value, (bytes, int, float, bool)):
        for item in value:
            yield from _strings(item)
