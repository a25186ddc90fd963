"""Is it alive, is it ready: one truth for HTTP and gRPC."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stage(Enum):
    """Where in its life the processor is."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Health:
    """The current stage; listeners hear of changes.

    Attributes:
        trouble: says what keeps what is taken from being stored; empty while nothing does.
    """

    def __init__(self) -> None:
        self.stage = Stage.STARTING
        self.trouble: Callable[[], str] = str
        self._listeners: list[Callable[[Stage], None]] = []

    def listen(self, listener: Callable[[Stage], None]) -> None:
        """Calls the listener at every later change."""
        self._listeners.append(listener)

    def enter(self, stage: Stage) -> None:
        """Moves on."""
        self.stage = stage
        for listener in self._listeners:
            listener(stage)

    @property
    def ready(self) -> bool:
        """Does it take requests?"""
        return self.stage is Stage.SERVING
