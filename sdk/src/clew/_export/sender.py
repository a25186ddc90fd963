"""From spans taken off the queue to requests: prepared, cut to size, and cut again where the receiver wants it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from clew import _guard
from clew._content.prepare import prepare
from clew._export.cut import cut
from clew._export.exporter import TooLarge
from clew._export.mend import mended
from clew._export.size import MAX_REQUEST_BYTES, batches, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from clew._content import Content, ContentRules
    from clew._export.exporter import Destination

_ONE_OF_THEM = (TooLarge, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Failures that one span of a request may be the cause of, and the others would be lost for."""


class Sender:
    """Hands spans to the destination, which it makes with the first; used by the exporting thread.

    Args:
        destination: Makes the destination; may raise, it is then asked again with the next batch.
        content: What is kept of content.
        settle: Told of each request how many spans were delivered and how many lost.
        answered: Told of each request whether the receiver took it.
    """

    def __init__(
        self,
        destination: Callable[[], Destination],
        content: ContentRules | Content,
        settle: Callable[[int, int], None],
        answered: Callable[[bool], None],
    ) -> None:
        self._make_destination = destination
        self._content = content
        self._settle = settle
        self._answered = answered
        self._destination: Destination | None = None
        self._trouble = "there was no time to connect"
        # Held while the exporter is imported: a fork in the middle would leave the child with that import locked for
        # ever.
        self.connecting = threading.RLock()

    @property
    def trouble(self) -> str:
        """Why spans were lost, for people."""
        return self._trouble if self._destination is None else self._destination.trouble

    def note(self, trouble: str) -> None:
        """Says why there is no destination."""
        self._trouble = trouble

    def connect(self) -> Destination | None:
        """The destination; None where it cannot be made."""
        with self.connecting:
            if self._destination is None:
                try:
                    self._destination = self._make_destination()
                except Exception as error:
                    self._trouble = f"the exporter could not be made ({error})"
            return self._destination

    def close(self) -> None:
        """Ends the call in flight, and refuses the rest at once; from any thread."""
        if self._destination is not None:
            self._destination.close()

    def send(self, spans: list[ReadableSpan]) -> None:
        """Sends the spans, in as many requests as it takes."""
        prepared = list(self._prepared(spans))
        if len(prepared) < len(spans):
            self._settle(0, len(spans) - len(prepared))
        for batch in batches(prepared):
            self._send_batch(batch)

    def tell(self, records: list[ReadableSpan]) -> bool:
        """Sends start records, which are not settled; returns whether all arrived."""
        try:
            return all(self._send_request(batch) for batch in batches(list(self._prepared(records))))
        except _ONE_OF_THEM as error:
            _guard.failed("telling of open spans", error)
            return False

    def _prepared(self, spans: list[ReadableSpan]) -> Iterator[ReadableSpan]:
        for span in spans:
            try:
                yield prepare(mended(span), self._content)
            except Exception as error:  # rather no span than one that may hold a secret
                _guard.failed("redacting a span", error)

    def _send_batch(self, batch: list[ReadableSpan]) -> None:
        """Sends one request; in halves where it is too large, or holds a span that cannot be written as OTLP."""
        waiting = [batch]
        while waiting:
            batch = waiting.pop()
            try:
                delivered = self._send_request(batch)
            except _ONE_OF_THEM as error:
                if len(batch) > 1:
                    middle = len(batch) // 2
                    waiting += [batch[middle:], batch[:middle]]  # the first half is sent first
                    continue
                if isinstance(error, TooLarge):
                    delivered = self._send_cut(batch[0])
                else:
                    _guard.failed("writing a span", error)
                    delivered = False
            self._settle(len(batch) if delivered else 0, 0 if delivered else len(batch))

    def _send_cut(self, span: ReadableSpan) -> bool:
        size = wire(span)
        # A receiver's limit is not known: the usual one first, then whatever is half of what it refused.
        limit = min(MAX_REQUEST_BYTES, size // 2)
        while (shorter := cut(span, limit)) is not None:
            try:
                if not self._send_request([shorter]):
                    return False
            except TooLarge:
                limit //= 2
                continue
            except _ONE_OF_THEM as error:
                _guard.failed("writing a span", error)
                return False
            _guard.warn_once(
                "cut",
                "The span %r of about %d bytes was too large for the receiver and was cut to %d; it is marked "
                "clew.content.truncated. This is said once.",
                span.name[:200],
                size,
                wire(shorter),
            )
            return True
        _guard.warn_once(
            "too large",
            "The span %r of about %d bytes is too large for the receiver, and has nothing that could be cut: it is "
            "lost. This is said once.",
            span.name[:200],
            size,
        )
        return False

    def _send_request(self, batch: list[ReadableSpan]) -> bool:
        destination = self.connect()
        if destination is None:
            return False
        taken = False
        try:
            taken = destination.send(batch)
        except _ONE_OF_THEM:
            raise
        except Exception as error:
            _guard.failed("sending spans", error)
        self._answered(taken)
        return taken
