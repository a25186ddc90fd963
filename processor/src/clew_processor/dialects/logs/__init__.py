"""Which log records of coding agents become spans: one YAML table an agent, read by the kernel's transcoder.

A span is named as its event, so that an agent's own table says of both what they are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trace(_Table):
    """What makes a trace.

    Attributes:
        keys: attributes, all of which have to be there; their values are the trace's identity.
        root: the event, once in each such trace, below which the others are.
    """

    keys: list[str]
    root: str | None = None


class Event(_Table):
    """An event that becomes a span.

    Attributes:
        ids: attributes that tell it from others of its name and trace: the first list of which all are there. Without
            one its time and all attributes do.
        needs: it becomes a span only with these attributes.
        failed: it tells of a failure.
    """

    ids: list[list[str]] = []
    needs: list[str] = []
    failed: bool = False


class LogRules(_Table):
    """What the log records of one agent become.

    Attributes:
        name: of the agent.
        source: where the facts are from.
        prefix: before the names of its events.
        scopes: instrumentation scopes whose events are its own even without the prefix.
        joins: whether a record that has a trace and span of its own stays there, below that span.
        traces: of all others; the first that fits.
        duration_ms: the attribute with the milliseconds until the record's time.
        success: the attribute that is false when it failed.
        messages: attributes with the text about a failure; the first that is there.
        events: by name without the prefix; others become nothing.
    """

    name: str
    source: str
    prefix: str
    scopes: list[str] = []
    joins: bool = False
    traces: list[Trace]
    duration_ms: str | None = None
    success: str | None = None
    messages: list[str] = []
    events: dict[str, Event]


@cache
def log_rules() -> tuple[LogRules, ...]:
    """Of all agents, by name."""
    files = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml")]
    return tuple(
        LogRules(**yaml.safe_load(file.read_text("utf-8"))) for file in sorted(files, key=lambda file: file.name)
    )
