"""How a library's own OpenTelemetry output is turned on, by library: for those that need it said.

Each function is called after the library was imported, with whether content is to be recorded at all. It leaves alone
what the programme has set itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NEWEST_FORMAT = 6
"""Pydantic AI's newest data format; its default is an older one."""


def _pydantic_ai(content: bool) -> None:
    from pydantic_ai import Agent, InstrumentationSettings

    if getattr(Agent, "_instrument_default", False):
        return
    try:
        settings = InstrumentationSettings(include_content=content, version=_NEWEST_FORMAT)
    except ValueError:  # a version of the library that does not know it
        settings = InstrumentationSettings(include_content=content)
    Agent.instrument_all(settings)


def _agent_framework(content: bool) -> None:
    from agent_framework.observability import enable_instrumentation

    # Messages stand on the spans; as events they would be there twice.
    enable_instrumentation(enable_sensitive_data=content, enable_message_events=False)


TURN_ON: dict[str, Callable[[bool], None]] = {
    "agent-framework": _agent_framework,
    "pydantic-ai": _pydantic_ai,
}
"""Library -> what turns its output on; a library that is not here records itself as soon as a provider is set."""
