"""What a recording holds, and what can be asked of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from clew import _semconv
from clew._content.prepare import prepare
from clew.testing import _tree
from clew.testing._notes import error_of, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from clew._content import ContentRules
    from clew.testing._clock import Clock
    from clew.testing._tap import Tap

UNSTEADY = frozenset({_semconv.EXCEPTION_STACKTRACE, "gen_ai.response.time_to_first_chunk", "thread.id"})
"""Attributes that differ from run to run or machine to machine, whatever the code under test does."""


class Recording:
    """Spans recorded by `clew.testing.record` or the fixture `clew_spans`.

    Iterating it gives the spans that have ended, in the order they ended, as OpenTelemetry's `ReadableSpan`, with
    what would leave the process: redacted, and without what the content setting leaves out.
    """

    def __init__(self, tap: Tap, clock: Clock, content: ContentRules) -> None:
        self._tap = tap
        self._content = content
        self.clock = clock
        """The clock spans are stamped with; `clock.advance(seconds)` lets time pass."""

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter([prepare(span, self._content) for span in self._tap.ended()])

    def __len__(self) -> int:
        """How many spans have ended."""
        return len(self._tap.ended())

    def __str__(self) -> str:
        return self.tree()

    def clear(self) -> None:
        """Forgets what has been recorded so far; ids and clock go on."""
        self._tap.clear()

    def named(self, name: str) -> ReadableSpan:
        """The only span of that name that has ended.

        Raises:
            AssertionError: There is none, or more than one.
        """
        found = [span for span in self if span.name == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} spans named {name!r} have ended, not one. Recorded:\n{self.tree()}")
        return found[0]

    def only(self) -> ReadableSpan:
        """The only span that has ended.

        Raises:
            AssertionError: There is none, or more than one.
        """
        if len(self) != 1:
            raise AssertionError(f"{len(self)} spans have ended, not one. Recorded:\n{self.tree()}")
        return next(iter(self))

    def trace_ids(self) -> set[int]:
        """The ids of the traces recorded."""
        return {span.context.trace_id for span in self._tap.started() if span.context is not None}

    def tree(self) -> str:
        """The spans as text, one a line, children indented below their parent in the order they started.

        Behind each name stands in brackets what can be said shortly: `[decide CHOSEN]` of a step, a gate's outcome
        (`[deny]`), `[outcome STATUS]`, `[11 in, 5 out]` tokens, the cost as `[$0.00012]`, and how it went wrong:
        `[error TYPE]`, `[cancelled]`, `[interrupted]`, `[not ended]`. `assert_tree` takes this text as it is.
        """
        return _tree.render(self._roots())

    def assert_tree(self, expected: str, *, ordered: bool = True) -> None:
        """Asserts that these spans were recorded, and no others.

        Args:
            expected: The names of the spans, children indented below their parent, in the order they started; blank
                lines and common indentation do not matter. Of what `tree` writes in brackets only what stands here
                is compared, except for errors, cancelled, interrupted and open spans: these have to be said. Any
                attribute can stand here too, as `[gen_ai.tool.name=look_up_order]`.
            ordered: Whether spans under the same parent have to have started in this order. Set it to False where
                threads race.

        Raises:
            AssertionError: The trees differ; the message shows the lines that do.
            ClewError: `expected` is indented in a way that makes no tree.
        """
        __tracebackhide__ = True  # pytest points at the test
        difference = _tree.difference(_tree.parse(expected), self._roots(), ordered=ordered)
        if difference is not None:
            raise AssertionError(f"the spans recorded are not those expected (- expected, + recorded):\n{difference}")

    def assert_attributes(self, name: str, expected: Mapping[str, object]) -> None:
        """Asserts that the only span of that name has these attributes, among others.

        Args:
            name: The span's name.
            expected: Attributes and their values; None for one that has to be absent.

        Raises:
            AssertionError: The span is not there or there are several, or attributes differ; the message shows which.
        """
        __tracebackhide__ = True
        attributes = self.named(name).attributes or {}
        lines = []
        for key, value in expected.items():
            actual = attributes.get(key)
            if (list(actual) if isinstance(actual, tuple) else actual) == (
                list(value) if isinstance(value, tuple) else value
            ):
                continue
            lines += [f"- {key}: {_shown(value)}", f"+ {key}: {_shown(actual)}"]
        if lines:
            raise AssertionError(
                f"attributes of {name!r} are not those expected (- expected, + recorded):\n" + "\n".join(lines)
            )

    def assert_no_errors(self) -> None:
        """Asserts that no span recorded an error.

        Raises:
            AssertionError: One did; the message shows where.
        """
        __tracebackhide__ = True
        if any(error_of(span) is not None for span in self):
            raise AssertionError(f"errors were recorded:\n{self.tree()}")

    def to_json(self) -> str:
        """Everything recorded as JSON, for golden files: the same text in every run.

        One object a span, a parent before its children: `trace` and `span` counted from 1 in this order, `parent`,
        `name`, `kind`, `start_s` and `end_s` (seconds since the recording began; null where it has not ended),
        `attributes` and `events`. Left out is what is never the same: traces of the stack, measured latencies.
        """
        numbers: dict[int, int] = {}
        traces: dict[int, int] = {}
        spans = []
        for node in _tree.walk(self._roots()):
            span = node.span
            context = span.context
            assert context is not None
            numbers[context.span_id] = len(numbers) + 1
            spans.append(
                {
                    "trace": traces.setdefault(context.trace_id, len(traces) + 1),
                    "span": numbers[context.span_id],
                    "parent": numbers.get(span.parent.span_id) if span.parent is not None else None,
                    "name": span.name,
                    "kind": SpanKind(span.kind).name,
                    "start_s": self._seconds(span.start_time),
                    "end_s": self._seconds(span.end_time),
                    "attributes": _steady(span.attributes),
                    "events": [
                        {
                            "name": event.name,
                            "at_s": self._seconds(event.timestamp),
                            "attributes": _steady(event.attributes),
                        }
                        for event in span.events
                    ],
                }
            )
        return json.dumps(spans, indent=2, ensure_ascii=False) + "\n"

    def _roots(self) -> list[_tree.Node]:
        return _tree.grow([prepare(span, self._content) for span in self._tap.started()])

    def _seconds(self, time_ns: int | None) -> float | None:
        return None if time_ns is None else self.clock.since_start_s(time_ns)


def _steady(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in sorted((attributes or {}).items()) if name not in UNSTEADY}


def _shown(value: object) -> str:
    return "(absent)" if value is None else value_text(value)
