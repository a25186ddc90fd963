"""In whatever requests and order an agent's log records come, they become the same spans."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.coding_agents import CLAUDE_SCOPE, claude, codex, gemini, spans_of, transcoded
from shared.otlp import log, logs_request

texts = st.sampled_from(["1", "2", "3"])
at = st.integers(0, 5)
records = st.one_of(
    st.builds(lambda at, prompt: claude("user_prompt", at=at, prompt=prompt), at, texts),
    st.builds(lambda at, r, prompt: claude("api_request", {"request_id": r}, at=at, prompt=prompt), at, texts, texts),
    st.builds(lambda at, t: claude("tool_result", {"tool_use_id": t, "success": "false"}, at=at), at, texts),
    st.builds(lambda at, s: claude("tool_decision", {"tool_use_id": s}, at=at, trace_id=7, span_id=int(s)), at, texts),
    st.builds(lambda at, n: codex("sse_event", {"input_token_count": n}, at=at), at, texts),
    st.builds(lambda at: codex("conversation_starts", at=at), at),
    st.builds(lambda at, n: gemini("api_response", {"input_token_count": n, "duration_ms": 1.5}, at=at), at, texts),
    st.builds(lambda at: gemini("loop_detected", at=at), at),
    st.builds(log, texts),
)
SCOPES = {"plain": "test.scope", "claude": CLAUDE_SCOPE}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(records, st.sampled_from(sorted(SCOPES))), max_size=12), st.data())
def test_order_and_batching_change_no_span(sent: list, data: st.DataObject) -> None:
    def spans(order: list, sizes: list[int]) -> list[bytes]:
        requests, rest = [], list(order)
        while rest:
            size = sizes[len(requests) % len(sizes)]
            piece, rest = rest[:size], rest[size:]
            request = logs_request()
            for record, scope in piece:
                scoped = request.resource_logs[0].scope_logs.add(log_records=[record])
                scoped.scope.name = SCOPES[scope]
            requests.append(request)
        return sorted(one.SerializeToString() for made in transcoded(requests) for one in spans_of(made))

    shuffled = data.draw(st.permutations(sent))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    assert spans(shuffled, sizes) == spans(sent, [100])
