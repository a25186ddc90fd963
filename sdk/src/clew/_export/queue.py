"""From ended spans to the exporter: a thread that empties the queue, and exact counts of what became of them.

OpenTelemetry's own batch processor is not used because it counts nothing, cuts batches by spans alone (one request of
long conversations passes a receiver's size limit), and waits up to thirty seconds at exit for a receiver that is away.

Code that starts or ends a span takes no lock here. A garbage collection in the middle of it may close a forgotten
generator, and a signal handler may end the process: both end spans in the thread that was interrupted, and a lock it
held would never come free.
"""

from __future__ import annotations

import logging
import os
import threading
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.trace import SpanProcessor

from clew import _guard, _semconv
from clew._export.counter import Counter
from clew._export.sender import Sender
from clew._export.starts import StartRecords
from clew._export.waiting import Waiting
from clew._propagate import lineage

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from clew._content import Content, ContentRules
    from clew._export.exporter import Destination
    from clew._export.limits import Limits
    from clew._export.relevance import Relevance

_logger = logging.getLogger("clew")

MAX_OPEN_SPANS = 10_000
"""Open spans remembered for the end of the process; the oldest beyond it are only forgotten here."""
SHUTDOWN_S = 3.0
"""How long the end of the process waits for an answer of the receiver, one after the other."""
CONNECTING_S = 10.0
"""How long it waits for the exporter to be imported before: that ends, and on a busy machine takes seconds."""
LONGEST_S = 20.0
"""How long it waits altogether, as long as answers come."""
_CLOSING_S = 0.5
"""How long the thread may then take to notice that its connection is closed."""
_SENT_BY_THE_PARENT: list[Sender] = []
"""What forks leave alone: connections of the parent's, which even closing would disturb."""


class ExportQueue(SpanProcessor):
    """Span processor that hands ended spans to a destination, in order, from a thread of its own.

    Nothing it does raises into, or waits in, the code that starts or ends a span.

    Args:
        destination: Makes the destination, on the exporting thread.
        content: What is kept of content.
        limits: How much may wait, and for how long.
        relevance: Which spans are taken; None takes all.
    """

    def __init__(
        self,
        destination: Callable[[], Destination],
        content: ContentRules | Content,
        limits: Limits,
        relevance: Relevance | None = None,
        *,
        start_records: bool = False,
    ) -> None:
        self._tells_starts = start_records
        self._make_destination = destination
        self._content = content
        self._limits = limits
        self.relevance = relevance
        self.when_started: Callable[[], None] = lambda: None
        """Called in each process that records, on the exporting thread, at its first span."""
        self._open: dict[int, Span] = {}
        self._inherited: frozenset[int] = frozenset()
        self._start_over()
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork_in_parent, after_in_child=self._after_fork
        )

    def _start_over(self) -> None:
        """The state of a process that has recorded nothing: at the start, and in a fork, where no thread came along."""
        self._starts = StartRecords(self._limits.delay_s, self._limits.batch_spans)
        self._sender = Sender(lambda: self._make_destination(), self._content, self._settle, self._starts.answered)  # noqa: PLW0108  # looked up when it is needed
        self._waiting = Waiting(self._limits)
        self._bell: SimpleQueue[None] = SimpleQueue()  # its `put` may interrupt itself, other than an event's `set`
        self._settled = threading.Condition()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        self._connected = False
        self._stopping = False
        self._closed = False
        self._ended = Counter()  # spans that came in
        self._delivered = 0
        self._refused = 0
        self._reported = False

    def _before_fork(self) -> None:
        self._sender.connecting.acquire()

    def _after_fork_in_parent(self) -> None:
        self._sender.connecting.release()

    def _after_fork(self) -> None:
        """In the child: what the parent has recorded, and what is open there, the parent sends."""
        _SENT_BY_THE_PARENT.append(self._sender)
        self._inherited |= frozenset(self._open)
        self._open = {}
        self._start_over()

    @property
    def dropped(self) -> int:
        """Spans that came in and were lost."""
        return self._refused + self._waiting.no_room.value

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
        lineage.inherit(span, parent_context)
        if self.relevance is not None:
            self.relevance.started(span, parent_context, self._open)
        self._open[context.span_id] = span
        if len(self._open) > MAX_OPEN_SPANS:
            self._open.pop(next(iter(self._open)), None)
        if self._worker is None:
            self._start_worker()

    def on_end(self, span: ReadableSpan) -> None:
        """Takes an ended span; drops the oldest ones where there is no room."""
        try:
            self._take(span)
        except Exception as error:
            _guard.failed("taking a span that ended", error)

    def _take(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None:
            return
        opened = self._open.pop(context.span_id, None)
        if opened is None and not context.trace_flags.sampled:
            return
        if self._inherited and context.span_id in self._inherited:
            return
        if self.relevance is not None and not self.relevance.wants(span, opened, self._open):
            return
        self._put(span)

    def _put(self, span: ReadableSpan) -> None:
        self._ended.add()
        if self._stopping:
            self._waiting.no_room.add()
        elif self._waiting.put(span) and self._bell.empty():
            self._bell.put(None)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until what had ended by now is out; returns whether that was in time and nothing was lost."""
        if self._closed:
            return False
        goal, dropped_before = self._ended.value, self.dropped
        self._bell.put(None)
        with self._settled:  # while the queue is being closed too: a signal may come in the middle of that
            self._settled.wait_for(lambda: self._is_settled(goal) or self._closed, timeout_millis / 1000)
        return self._is_settled(goal) and self.dropped == dropped_before

    def _is_settled(self, goal: int) -> bool:
        return self._delivered + self.dropped >= goal

    def end_open_spans(self) -> None:
        """Ends what is still open as interrupted, the innermost first: the process is about to end."""
        for span in reversed(list(self._open.values())):
            if span.is_recording():
                span.set_attribute(_semconv.CLEW_STATUS, "interrupted")
                span.end()

    def shutdown(self) -> None:
        """Sends what has ended, for at most `SHUTDOWN_S` seconds; spans that end later are still taken.

        This is the provider's end, not the process's: a programme's own provider may be shut down while agents are
        still open, and be followed by another.
        """
        self.settle()

    def settle(self, timeout_s: float = SHUTDOWN_S) -> None:
        """Waits until what has ended is out, while that goes on: for each answer of the receiver so many seconds."""
        worker = self._worker
        if worker is None or not worker.is_alive():
            return
        until = monotonic() + LONGEST_S
        goal = self._ended.value
        self._bell.put(None)
        went_on = True
        while went_on and not self._closed and not self._is_settled(goal):
            before = self._progress()
            patience = timeout_s if self._connected else CONNECTING_S
            with self._settled:
                went_on = self._settled.wait_for(
                    lambda before=before: self._progress() != before,  # type: ignore[misc]
                    max(0.0, min(patience, until - monotonic())),
                )

    def _progress(self) -> tuple[bool, bool, int, int]:
        return self._connected, self._closed, self._delivered, self.dropped

    def close(self, timeout_s: float = SHUTDOWN_S) -> None:
        """Sends what is left, as `settle` does; what could not be sent is counted and reported."""
        if self._stopping:
            return
        self._stopping = True
        worker = self._worker
        self._bell.put(None)
        if worker is not None:
            self.settle(timeout_s)
            worker.join(_CLOSING_S)
            if worker.is_alive():
                self._sender.close()
                worker.join(_CLOSING_S)
        ended = self._ended.value
        with self._settled:
            self._closed = True
            self._refused = ended - self._delivered - self._waiting.no_room.value
            self._waiting.clear()
            self._settled.notify_all()
        self._report()
        if self.dropped:
            _logger.info("clew lost %d of %d spans in this process.", self.dropped, ended)

    def _start_worker(self) -> None:
        # With the first span: a programme without any pays nothing, and one that ends soon after has its exporter by
        # then. Python starts no threads once it is on its way out.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._worker is None:
                worker = threading.Thread(target=self._work, name="clew-export", daemon=True)
                worker.start()
                self._worker = worker
        except RuntimeError as error:  # tried again with the next span
            self._sender.note(f"no thread to be had ({error})")
        finally:
            self._starting.release()

    def _work(self) -> None:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # nobody is to record our own calls
        try:
            self.when_started()
            self._sender.connect()
            self._connected = True
            self._settle(0, 0)
            while not self._stopping:
                self._wait()
                self._drain()
                self._tell_of_open_spans()
                self._report()
            self._drain()
        finally:
            detach(token)
            self._sender.close()

    def _wait(self) -> None:
        try:
            self._bell.get(timeout=self._limits.delay_s)
            while True:
                self._bell.get_nowait()
        except Empty:
            pass

    def _drain(self) -> None:
        while taken := self._waiting.next():
            settled = self._delivered + self._refused
            try:
                self._sender.send(taken)
            except Exception as error:
                _guard.failed("sending spans", error)
            self._settle(0, settled + len(taken) - self._delivered - self._refused)
        self._settle(0, 0)  # who flushes may wait for spans that were dropped since

    def _tell_of_open_spans(self) -> None:
        """Sends start records, which come after everything that ended and count nowhere."""
        if not self._tells_starts or self._stopping or self._waiting:
            return
        try:
            records = self._starts.due(self._open)
            if records and not self._sender.tell(records):
                self._starts.lost(records)
        except Exception as error:
            _guard.failed("telling of open spans", error)

    def _settle(self, delivered: int, lost: int) -> None:
        with self._settled:
            self._delivered += delivered
            self._refused += lost
            self._settled.notify_all()

    def _report(self) -> None:
        """Says once that spans were lost; from the exporting thread, or at the end."""
        if self._reported or not self.dropped:
            return
        self._reported = True
        _logger.warning(
            "clew lost %d span(s) so far: %s. The programme is not affected, its record is. Is a processor running "
            "there (`clew up`)? This is said once.",
            self.dropped,
            self._sender.trouble,
        )
