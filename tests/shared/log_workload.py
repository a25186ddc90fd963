"""Log records, every other one of an agent's model call, sent until acknowledged, and what must be stored then."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.coding_agents import claude_request
from shared.otlp import log

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from shared.processor import Processor

AT_ONCE = 10
CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "none"}
FATES = ("stored", "sampled_out", "rejected", "dead_letter")


@dataclass(frozen=True)
class LogParcel:
    """Records with the numbers from `first` on."""

    first: int

    def send(self, running: Processor, timeout: float) -> Message:
        now = time.time_ns()
        records = []
        for number in range(self.first, self.first + AT_ONCE):
            attributes = {"n": number}
            if number % 2:
                attributes |= {"session.id": "s", "prompt.id": "p", "request_id": f"r{number}", "model": "m"} | CALL
            records.append(log("claude_code.api_request" if number % 2 else "plain", attributes, time=now + number))
        return running.export_logs(claude_request(*records), timeout=timeout)


class LogWorkload:
    """What `shared.workload.senders` and `finish` need, for log records."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[LogParcel] = deque()
        self._parcels = 0
        self._unsure = 0

    def take(self, *, new: bool = True) -> LogParcel | None:
        """The next parcel: one that failed, or a new one; None when none is left and no new one is asked for."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if not new:
                return None
            self._parcels += 1
            return LogParcel((self._parcels - 1) * AT_ONCE)

    def succeeded(self, parcel: LogParcel) -> None:
        """It was acknowledged."""

    def failed(self, parcel: LogParcel) -> None:
        """Nobody knows: it may be stored and is sent again."""
        with self._lock:
            self._unsure += AT_ONCE
            self._waiting.append(parcel)

    def flush_resends(self) -> None:
        """Nothing is kept back."""

    def wrong(self, running: Processor) -> list[str]:
        """What is not as it must be, once everything was acknowledged and is settled."""
        sent = self._parcels * AT_ONCE
        rows, distinct = running.rows("SELECT count(), uniqExact(LogAttributes['n']) FROM otel_logs")[0]
        spans, calls = running.rows("SELECT count(), uniqExact(SpanAttributes['request_id']) FROM otel_traces")[0]
        stored = dict(running.rows("SELECT signal, sum(stored) FROM ledger_1m GROUP BY signal"))
        received = dict(running.rows("SELECT signal, sum(received) FROM ledger_1m GROUP BY signal"))
        holds = {
            "there are records": sent > 0,
            "every record is stored": distinct == sent,
            "only what nobody was told of is stored twice": sent <= rows <= sent + self._unsure,
            "every call is a span": calls == sent // 2,
            "once": spans == calls,
            "every call counts once": running.value("SELECT sum(calls) FROM usage_1m WHERE op = 'chat'") == calls,
            "the ledger counts what is stored": (stored["logs"], stored["spans_from_logs"]) == (rows, spans),
            "and nothing else": received["logs"] == rows and received["spans_from_logs"] == rows // 2,
            "the metrics add up": all(
                running.metric(f"{name}_total", outcome="received")
                == sum(running.metric(f"{name}_total", outcome=fate) for fate in FATES)
                for name in ("clew_log_records", "clew_spans", "clew_spans_from_logs")
            ),
        }
        return [what for what, is_so in holds.items() if not is_so]
