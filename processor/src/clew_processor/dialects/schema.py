"""What may stand in a dialect's table."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Type = Literal["dict", "str", "u64", "i64", "f64", "bool", "hash64"]
Holds = Literal["messages", "whole", "canonical"]
Form = Literal["messages", "text", "indexed", "event", "parts", "value"]
FORMS: dict[Holds, tuple[Form, ...]] = {
    "messages": ("messages", "text", "indexed", "event", "parts"),
    "whole": ("value", "indexed"),
    "canonical": ("value",),
}
"""Forms in which a source may have a content of each sort; the first is the one where none is said."""


def nearest(word: str, known: list[str]) -> str:
    """The known word that was probably meant, else all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


class Table(BaseModel):
    """Keys and values, all keys known."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise ValueError(f"unknown key {key!r}: {nearest(str(key), known)}")
        return data


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Texts = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
"""One text, or a list of them."""


class Test(Table):
    """Something that holds of a span or does not: one test, or several combined."""

    __test__ = False  # it is none of pytest's

    attribute: str | None = None
    attribute_prefix: Texts | None = None
    resource: str | None = None
    scope: Texts | None = None
    scope_prefix: Texts | None = None
    scope_contains: Texts | None = None
    name: Texts | None = None
    name_prefix: Texts | None = None
    name_suffix: Texts | None = None
    event: Texts | None = None
    is_: Texts | None = Field(None, alias="is")
    starts: Texts | None = None
    all_: list[Test] | None = Field(None, alias="all")
    any_: list[Test] | None = Field(None, alias="any")
    none: list[Test] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self.model_fields_set - {"is_", "starts"}
        combines = {"all_", "any_", "none"}
        if not given or (len(given) > 1 and not given <= combines):
            raise ValueError("a test asks for one thing (attribute, scope, name, ...), or combines all, any and none")
        values = self.model_fields_set & {"is_", "starts"}
        if len(values) > 1 or (values and not given & {"attribute", "resource"}):
            raise ValueError("is or starts belongs to attribute or resource")
        return self


class Op(Table):
    """A source of the operation."""

    key: str | None = None
    from_: Literal["name", "scope"] | None = Field(None, alias="from")
    path: list[str | int] | None = None
    values: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    suffixes: dict[str, str] = {}
    is_: str | None = Field(None, alias="is")
    when: list[Test] = []

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.key is not None and self.from_ is not None:
            raise ValueError("an operation is read from a key or from the name or scope")
        if self.key is None and self.from_ is None and self.is_ is None:
            raise ValueError("an operation's source needs key, from or is")
        return self


class Source(Table):
    """Where a column's value, or a content, may come from."""

    key: str | None = None
    resource: str | None = None
    event: Texts | None = None
    from_: Literal["name", "scope", "duration"] | None = Field(None, alias="from")
    path: list[str | int] | None = None
    scale: float | None = None
    as_: Literal["since_start"] | None = Field(None, alias="as")
    is_: str | None = Field(None, alias="is")
    only: Texts | None = None
    nonzero: bool | None = None
    after: str | None = None
    before: str | None = None
    ops: Texts | None = None
    when: list[Test] | None = None
    form: Form | None = None
    role: str | None = None
    parts: dict[Literal["text", "reasoning", "tool_calls", "object"], str] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        places = self.model_fields_set & {"key", "resource", "from_", "parts"}
        if len(places) > 1:
            raise ValueError("a source is one of key, resource, from and parts")
        if not (places or self.is_ is not None or self.form == "event"):
            raise ValueError("a source needs key, resource, from, parts or is")
        if self.event and not (self.key or self.form == "event"):
            raise ValueError("an event's source needs the key of the event's attribute")
        if (self.form == "parts") != (self.parts is not None):
            raise ValueError("form parts and the parts belong together")
        if self.form == "event" and not self.event:
            raise ValueError("form event needs the names of the events")
        return self


def _source(value: Any) -> Any:
    return {"key": value} if isinstance(value, str) else value


Sources = list[Annotated[Source, BeforeValidator(_source)]]
"""In order of precedence; a text is the key of a span attribute."""


class Tokens(Table):
    """How a dialect counts, on calls to one of some providers or on all."""

    cache: Literal["apart", "inclusive"] | None = None
    reasoning: Literal["apart", "inclusive"] | None = None
    provider: Texts | None = None


class LogTrace(Table):
    """What makes the trace of a log record.

    Attributes:
        keys: attributes, all of which have to be there; their values are the trace's identity.
        root: the event, once in each such trace, below which the others are.
    """

    keys: list[str] = Field(min_length=1)
    root: str | None = None


class LogEvent(Table):
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


class Logs(Table):
    """Which log records become spans. A span is named as its event, so the rest of the table says what it means.

    Attributes:
        prefix: before the names of the events.
        scopes: instrumentation scopes whose events are meant even without the prefix.
        joins: whether a record that has a trace and span of its own stays there, below that span.
        traces: of all others; the first that fits.
        duration_ms: the attribute with the milliseconds until the record's time.
        success: the attribute that is false when it failed.
        messages: attributes with the text about a failure; the first that is there.
        events: by name without the prefix; others become nothing.
    """

    prefix: str = Field(min_length=1)
    scopes: list[str] = []
    joins: bool = False
    traces: list[LogTrace] = Field(min_length=1)
    duration_ms: str | None = None
    success: str | None = None
    messages: list[str] = []
    events: dict[str, LogEvent] = Field(min_length=1)

    @model_validator(mode="after")
    def _roots(self) -> Self:
        for trace in self.traces:
            if trace.root is not None and trace.root not in self.events:
                raise ValueError(f"root {trace.root!r} is none of the events: {nearest(trace.root, [*self.events])}")
        return self


class Dialect(Table):
    """One dialect's table.

    Attributes:
        name: value of otel_traces.Dialect.
        order: dialects are tried in this order, lower first.
        source: where the facts are from.
        detect: one of these has to hold.
        ignore: where one of these holds the span is a placeholder: stored as a plain span.
        op: the first source that is there and maps says the operation.
        op_otherwise: the operation when none does.
        columns: canonical column: its sources; an empty list also keeps the generic ones away.
        contents: the same of contents.
        values: column: {what a sender says: what it is}.
        tokens: the first line for a span's provider applies.
        sentinels: values that stand for no value.
        generic: whether what the dialect leaves empty is filled from the OpenTelemetry conventions.
        logs: which log records become spans.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    order: int
    source: str
    detect: list[Test] = Field(min_length=1)
    ignore: list[Test] = []
    op: list[Op] = []
    op_otherwise: str = ""
    columns: dict[str, Sources] = {}
    contents: dict[str, Sources] = {}
    values: dict[str, dict[str, str]] = {}
    tokens: list[Tokens] = []
    sentinels: list[str] = []
    generic: bool = True
    logs: Logs | None = None


class Column(Table):
    """A canonical column."""

    type: Type
    always: list[str] = []


class Content(Table):
    """A canonical content.

    Attributes:
        kind: what `span_content` calls it, and how its canonical form is made.
        role: who speaks in messages where neither they nor the source say.
        calls: whether the tool calls in it are listed.
        sizes: whether it is told who speaks in each content and how many bytes of text that is.
    """

    kind: str
    holds: Holds
    role: Literal["system", "user", "assistant", "tool"] = "user"
    calls: bool = False
    sizes: bool = False


class Canon(Table):
    """The canonical columns and contents."""

    columns: dict[str, Column]
    contents: dict[str, Content]


class Values(Table):
    """What all dialects have in common."""

    ops: list[str]
    looks_like: list[str]
    looks_like_not: list[str]
    providers: dict[str, list[str]]
    not_providers: dict[str, str]
    provider_addresses: dict[str, str]
    provider_models: dict[str, str]
    frameworks: dict[str, str]
    values: dict[str, dict[str, str]]
    control_flow: dict[str, str]
