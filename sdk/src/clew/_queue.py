"""From ended spans to the exporter: a bounded queue, a thread that empties it, and exact counts of what became of them.

OpenTelemetry's own batch processor is not used because it counts nothing, cuts batches by spans alone (one request of
long conversations passes a receiver's size limit), and waits up to thirty seconds at exit for a receiver that is away.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.trace import SpanProcessor

from clew import _guard, _lineage, _semconv
from clew._prepare import prepare, text_size
from clew._starts import StartRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from clew._content import Content
    from clew._exporter import Destination

_logger = logging.getLogger("clew")

MAX_BATCH_CHARACTERS = 2_000_000
"""Text in one request at most, a single larger span aside: gRPC servers refuse requests over 4 MiB by default."""
MAX_OPEN_SPANS = 10_000
"""Open spans remembered for the end of the process; the oldest beyond it are only forgotten here."""
SHUTDOWN_S = 3.0
"""How long the end of the process waits for the receiver at most."""
_CLOSING_S = 0.5
"""How long the thread may then take to notice that its connection is closed."""


class Limits(NamedTuple):
    """The batch processor's standard settings."""

    queue_spans: int
    """`OTEL_BSP_MAX_QUEUE_SIZE`: spans waiting at most; beyond it the oldest are dropped, roots end last."""
    batch_spans: int
    """`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`: spans in one request at most."""
    delay_s: float
    """`OTEL_BSP_SCHEDULE_DELAY`, in seconds: how long a span waits for others."""

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits in force; a value that is no positive number is reported and replaced by its default."""
        return cls(
            queue_spans=_positive("OTEL_BSP_MAX_QUEUE_SIZE", 2048),
            batch_spans=_positive("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
            # The standard says 5 s; a run should be seen while it goes on.
            delay_s=_positive("OTEL_BSP_SCHEDULE_DELAY", 1000) / 1000,
        )


class ExportQueue(SpanProcessor):
    """Span processor that hands ended spans to a destination, in order, from a thread of its own.

    Nothing it does raises into, or waits in, the code that ends a span.
    """

    def __init__(
        self,
        destination: Callable[[], Destination],
        content: Content,
        limits: Limits,
        *,
        start_records: bool = False,
    ) -> None:
        self._tells_starts = start_records
        self._make_destination = destination
        self._content = content
        self._limits = limits
        self._reset()
        # A fork in the middle of an import would leave the child with that module locked for ever.
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork_in_parent, after_in_child=self._reset
        )

    def _reset(self) -> None:
        """The state of a process that has recorded nothing: at the start, and in a fork, where no thread came along."""
        self._connecting = threading.RLock()
        self._spans: deque[ReadableSpan] = deque()
        self._open: dict[int, Span] = {}
        self._starts = StartRecords(self._limits.delay_s, self._limits.batch_spans)
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._worker: threading.Thread | None = None
        self._destination: Destination | None = None
        self._trouble = "there was no time to connect"
        self._stopping = False
        self._ended = 0  # spans that came in
        self._delivered = 0
        self._dropped = 0
        self._reported = False

    def _before_fork(self) -> None:
        self._connecting.acquire()

    def _after_fork_in_parent(self) -> None:
        self._connecting.release()

    @property
    def dropped(self) -> int:
        """Spans that came in and were lost."""
        return self._dropped

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tells the span whose it is, and remembers it for the case that the process ends before it."""
        try:
            self._begin(span, parent_context)
        except Exception as error:  # another thread changed the open spans meanwhile, for example
            _guard.failed("noting a span that starts", error)

    def _begin(self, span: Span, parent_context: Context | None) -> None:
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        _lineage.inherit(span, parent_context)
        self._open[context.span_id] = span
        if len(self._open) > MAX_OPEN_SPANS:
            self._open.pop(next(iter(self._open)), None)
        if self._worker is None:
            self._start_worker()

    def on_end(self, span: ReadableSpan) -> None:
        """Takes an ended span; drops the oldest one where there is no room."""
        try:
            self._take(span)
        except Exception as error:
            _guard.failed("taking a span that ended", error)

    def _take(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        self._open.pop(context.span_id, None)
        with self._lock:
            self._ended += 1
            if self._stopping:
                self._dropped += 1
                return
            self._spans.append(span)
            waiting = len(self._spans)
            if waiting > self._limits.queue_spans:
                self._spans.popleft()
                self._dropped += 1
        if waiting >= self._limits.batch_spans:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until what had ended by now is out; returns whether that was in time and nothing was lost."""
        with self._lock:
            if self._stopping:
                return False
            goal, dropped_before = self._ended, self._dropped
            self._wake.set()
            self._settled.wait_for(
                lambda: self._delivered + self._dropped >= goal or self._stopping, timeout_millis / 1000
            )
            return self._delivered + self._dropped >= goal and self._dropped == dropped_before

    def end_open_spans(self) -> None:
        """Ends what is still open as interrupted, the innermost first: the process is about to end."""
        for span in reversed(list(self._open.values())):
            if span.is_recording():
                span.set_attribute(_semconv.CLEW_STATUS, "interrupted")
                span.end()

    def shutdown(self, timeout_s: float = SHUTDOWN_S) -> None:
        """Sends what is left, for at most `timeout_s` seconds; what could not be sent is counted and reported."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            worker = self._worker
        self._wake.set()
        if worker is not None:
            worker.join(timeout_s)
            if worker.is_alive() and self._destination is not None:
                self._destination.close()  # ends the call it waits in, and refuses the rest at once
                worker.join(_CLOSING_S)
        with self._lock:
            self._dropped = self._ended - self._delivered
            self._spans.clear()
            self._settled.notify_all()
        self._report()
        if self._dropped:
            _logger.info("clew lost %d of %d spans in this process.", self._dropped, self._ended)

    def _start_worker(self) -> None:
        # With the first span: a programme without any pays nothing, and one that ends soon after has its exporter by
        # then. Python starts no threads once it is on its way out.
        with self._lock:
            if self._worker is not None:
                return
            self._worker = threading.Thread(target=self._work, name="clew-export", daemon=True)
        try:
            self._worker.start()
        except RuntimeError as error:
            self._trouble = f"no thread to be had ({error})"

    def _work(self) -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # nobody is to record our own calls
        try:
            self._connect()
            while not self._stopping:
                self._wake.wait(self._limits.delay_s)
                self._wake.clear()
                self._drain()
                self._tell_of_open_spans()
                self._report()
            self._drain()
        finally:
            detach(token)
            if self._destination is not None:
                self._destination.close()

    def _drain(self) -> None:
        while True:
            with self._lock:
                taken = [self._spans.popleft() for _ in range(min(len(self._spans), self._limits.batch_spans))]
            if not taken:
                return
            prepared = list(self._prepared(taken))
            self._settle(dropped=len(taken) - len(prepared))
            for batch in _batches(prepared):
                delivered = len(batch) if self._send(batch) else 0
                self._settle(delivered=delivered, dropped=len(batch) - delivered)

    def _tell_of_open_spans(self) -> None:
        """Sends start records, which come after everything that ended and count nowhere."""
        if not self._tells_starts or self._stopping or self._spans:
            return
        try:
            for batch in _batches(list(self._prepared(self._starts.due(self._open)))):
                if not self._send(batch):
                    self._starts.lost(batch)
        except Exception as error:
            _guard.failed("telling of open spans", error)

    def _prepared(self, spans: list[ReadableSpan]) -> Iterator[ReadableSpan]:
        for span in spans:
            try:
                yield prepare(span, self._content)
            except Exception as error:  # rather no span than one that may hold a secret
                _guard.failed("redacting a span", error)

    def _send(self, batch: list[ReadableSpan]) -> bool:
        destination = self._connect()
        if destination is None:
            return False
        taken = False
        try:
            taken = destination.send(batch)
        except Exception as error:
            _guard.failed("sending spans", error)
        self._starts.answered(taken)
        return taken

    def _connect(self) -> Destination | None:
        """The destination; None where it cannot be made, which is tried again with the next batch."""
        with self._connecting:
            if self._destination is None:
                try:
                    self._destination = self._make_destination()
                except Exception as error:
                    self._trouble = f"the exporter could not be made ({error})"
            return self._destination

    def _settle(self, *, delivered: int = 0, dropped: int = 0) -> None:
        with self._lock:
            self._delivered += delivered
            self._dropped += dropped
            self._settled.notify_all()

    def _report(self) -> None:
        """Says once that spans were lost; from the exporting thread, or at the end."""
        if self._reported or not self._dropped:
            return
        self._reported = True
        _logger.warning(
            "clew lost %d span(s) so far: %s. The programme is not affected, its record is. Is a processor running "
            "there (`clew up`)? This is said once.",
            self._dropped,
            self._trouble if self._destination is None else self._destination.trouble,
        )


def _batches(spans: list[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    """The spans in order, cut where a request would get too large."""
    batch: list[ReadableSpan] = []
    size = 0
    for span in spans:
        span_size = text_size(span)
        if batch and size + span_size > MAX_BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += span_size
    if batch:
        yield batch


def _positive(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number <= 0:
        _guard.warn_once(variable, "%s=%r is not a positive whole number; using %d.", variable, value, default)
        return default
    return number
