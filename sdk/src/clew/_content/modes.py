"""Of several modes of content, the one that keeps least."""

from __future__ import annotations

from typing import NamedTuple

from clew._content import Content

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
