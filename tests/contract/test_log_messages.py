"""Messages that come in log records are shown with their spans, whichever comes first."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from shared.engine import fresh_store
from shared.otlp import T0, any_value, log, logs_request, message, messages_json, request, span
from shared.otlp_reference import as_string
from shared.payloads import bodies, log_files
from shared.pipeline import ARRIVAL, Recorder, arrived, arrived_logs, new_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from clew_processor.spool.request import Request
    from clew_processor.write.store import Store

DETAILS = "gen_ai.client.inference.operation.details"
TEXTS = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions")
CHAT = {"gen_ai.operation.name": "chat"}
#: The captured records are of a later day than the other tests' spans.
CAPTURED = 1_795_300_000_000_000_000


def plain(value: AnyValue) -> Any:
    """An AnyValue as JSON has it; a text that is JSON as what it holds."""
    match kind := value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(each) for each in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        case _:
            return getattr(value, kind)


def texts_of(record: LogRecord) -> dict[str, Any]:
    """What a record of a call's details holds."""
    found = {pair.key: plain(pair.value) for pair in record.attributes if pair.key in TEXTS}
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in found.items() if value}


def records_of(path: Any) -> list[LogRecord]:
    return [
        record
        for body in bodies(path)
        for group in ExportLogsServiceRequest.FromString(body).resource_logs
        for scoped in group.scope_logs
        for record in scoped.log_records
    ]


@pytest.fixture(scope="module")
def captured() -> Store:
    """Every captured file of log records under a tenant of its name, with spans that have the ids but no messages."""
    sink, store = Recorder(), fresh_store()
    pipeline = new_pipeline(sink)
    for number, path in enumerate(log_files()):
        logs = [arrived_logs(body, tenant=path.name, at=CAPTURED) for body in bodies(path)]
        named = {(record.trace_id, record.span_id): record for record in records_of(path) if record.trace_id}
        spans = [
            span("chat", CHAT, trace_id=trace_id, span_id=span_id, start=record.observed_time_unix_nano)
            for (trace_id, span_id), record in named.items()
        ]
        batches = [logs, [arrived(request(*spans), tenant=path.name, at=CAPTURED)]]
        for batch in batches if number % 2 else batches[::-1]:
            pipeline.process(batch)
    sink.copy_to(store)
    return store


def test_there_are_records_with_messages_without_and_without_ids():
    records = [record for path in log_files() for record in records_of(path)]
    assert len(log_files()) > 40
    assert {record.event_name for record in records} == {DETAILS}
    assert {bool(texts_of(record)) for record in records} == {bool(record.trace_id) for record in records} == {
        True, False,
    }  # fmt: skip


@pytest.mark.parametrize("path", log_files(), ids=lambda path: path.name)
def test_every_captured_record_is_stored_and_its_messages_are_shown_with_its_span(captured, path):
    records = records_of(path)
    assert captured.client.query(
        "SELECT count() FROM otel_logs WHERE TenantId = {t:String}", {"t": path.name}
    ).result_rows == [(len(records),)]
    rows = captured.client.query(
        "SELECT TraceId, SpanId, SpanAttributes, length(InputMessages), length(OutputMessages) "
        "FROM otel_traces_full WHERE TenantId = {t:String}",
        {"t": path.name},
    ).result_rows
    shown = {(trace, one): (attributes, sizes) for trace, one, attributes, *sizes in rows}
    for record in records:
        if not record.trace_id:
            continue
        attributes, sizes = shown[record.trace_id.hex(), record.span_id.hex()]
        wanted = texts_of(record)
        assert {key: json.loads(attributes[key]) for key in TEXTS if key in attributes} == wanted
        assert sizes == [len(wanted.get(key, ())) for key in TEXTS[:2]]


def test_a_captured_record_is_stored_as_it_came(captured):
    path = next(path for path in log_files() if "openai-chat__genai__S4.logs" in path.name)
    rows = captured.client.query(
        "SELECT LogAttributes FROM otel_logs WHERE TenantId = {t:String}", {"t": path.name}
    ).result_rows
    wanted = [{pair.key: as_string(pair.value) for pair in record.attributes} for record in records_of(path)]
    assert sorted((row for (row,) in rows), key=str) == sorted(wanted, key=str)


def shown(batches: Sequence[Sequence[Request]]) -> list[dict[str, Any]]:
    """What the full view says of each span, by its id, after those batches."""
    store = fresh_store()
    pipeline = new_pipeline(store)
    for batch in batches:
        pipeline.process(batch)
    rows = store.client.query("SELECT SpanAttributes FROM otel_traces_full ORDER BY TenantId, SpanId").result_rows
    return [{key.removeprefix("gen_ai."): json.loads(row[key]) for key in TEXTS if key in row} for (row,) in rows]


def spoken(event: str, body: object = None, at: int = 0, attributes: Any = (), **fields: Any) -> LogRecord:
    return log(body, attributes, time=T0 + at, event_name=event, trace_id=1, span_id=1, **fields)


CONVERSATION = [
    spoken("gen_ai.system.message", {"content": "Be brief."}, 1),
    spoken("gen_ai.user.message", {"content": "Weather in Paris?", "role": "user"}, 2),
    spoken(
        "gen_ai.assistant.message",
        {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        3,
    ),
    spoken("gen_ai.tool.message", {"id": "c", "content": "sunny"}, 4),
    spoken(
        "gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Sunny."}}, 5
    ),
]
SAID = {
    "input.messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "id": "c", "content": "sunny"},
    ],
    "output.messages": [{"role": "assistant", "content": "Sunny."}],
}
SPAN = arrived(request(span("chat", CHAT)))


def test_records_of_one_message_each_are_put_in_order_however_they_come():
    whole = arrived_logs(logs_request(*CONVERSATION))
    backwards = [arrived_logs(logs_request(record)) for record in reversed(CONVERSATION)]
    assert shown([[whole, SPAN]]) == [SAID]
    assert shown([[SPAN], *([one] for one in backwards)]) == [SAID]
    assert shown([backwards[2:], [SPAN, whole]]) == [SAID]  # some of them came before


def test_records_of_one_time_keep_the_order_in_which_they_were_sent():
    said = [spoken("gen_ai.user.message", {"content": f"{number}"}) for number in range(12)]
    (found,) = shown([[SPAN, arrived_logs(logs_request(*said))]])
    assert [one["content"] for one in found["input.messages"]] == [str(number) for number in range(12)]


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (spoken("gen_ai.user.message", "just words"), {"role": "user", "content": "just words"}),
        (spoken("gen_ai.user.message", '{"content": "x"}'), {"role": "user", "content": "x"}),
        (spoken("gen_ai.user.message", '{"role": "me", "content": "x"}'), {"role": "me", "content": "x"}),
        (spoken("gen_ai.user.message", "{not json"), {"role": "user", "content": "{not json"}),
        (spoken("gen_ai.user.message", "{}"), {"role": "user"}),
        (
            spoken("", {"content": "x"}, attributes={"event.name": "gen_ai.user.message"}),
            {"role": "user", "content": "x"},
        ),
        (
            spoken("gen_ai.user.message", attributes={"gen_ai.system": "openai", "content": "x", "name": "n"}),
            {"role": "user", "content": "x", "name": "n"},
        ),
        (
            spoken("gen_ai.user.message", attributes={"gen_ai.event.content": '{"role":"user","content":"x"}'}),
            {"role": "user", "content": "x"},
        ),
    ],
)  # fmt: skip
def test_a_message_is_found_wherever_a_record_has_it(record, wanted):
    assert shown([[SPAN, arrived_logs(logs_request(record))]]) == [{"input.messages": [wanted]}]


@pytest.mark.parametrize(
    "body",
    [
        {"message": {"content": "x"}, "index": 0},
        {"message": "x"},
        {"content": "x"},
        "x",
        '{"message": {"content": "x"}}',
    ],
)
def test_an_answer_is_found_inside_its_choice(body):
    (found,) = shown([[SPAN, arrived_logs(logs_request(spoken("gen_ai.choice", body)))]])
    assert found == {"output.messages": [{"role": "assistant", "content": "x"}]}


def details(attributes: dict[str, Any], at: int = 0) -> LogRecord:
    return spoken(DETAILS, None, at, attributes)


def test_a_span_with_messages_of_its_own_keeps_them():
    own = messages_json(message("user", "of the span"))
    late = details({"gen_ai.input.messages": [{"role": "user"}], "gen_ai.output.messages": [{"role": "assistant"}]})
    (found,) = shown(
        [[arrived(request(span("chat", CHAT | {"gen_ai.input.messages": own}))), arrived_logs(logs_request(late))]]
    )
    assert found == {"input.messages": json.loads(own), "output.messages": [{"role": "assistant"}]}


def test_of_several_records_of_a_call_the_newest_that_has_something_counts():
    asked = details({"gen_ai.input.messages": [{"n": 1}], "gen_ai.system_instructions": "be brief"}, 1)
    answered = details({"gen_ai.input.messages": [{"n": 1}, {"n": 2}], "gen_ai.output.messages": [{"n": 3}]}, 2)
    failed = details({"error.type": "x"}, 3)
    wanted = {"input.messages": [{"n": 1}, {"n": 2}], "output.messages": [{"n": 3}]}
    for order in permutations((asked, answered, failed)):
        store = fresh_store()
        pipeline = new_pipeline(store)
        pipeline.process([SPAN, *(arrived_logs(logs_request(record)) for record in order)])
        ((row,),) = store.client.query("SELECT SpanAttributes FROM otel_traces_full").result_rows
        assert row["gen_ai.system_instructions"] == "be brief"
        assert {key: json.loads(row[f"gen_ai.{key}"]) for key in wanted} == wanted


def test_messages_sent_again_are_there_once():
    body = logs_request(*CONVERSATION)
    again = [[arrived_logs(body)], [arrived_logs(body, at=ARRIVAL + 1)], [SPAN]]
    assert shown(again) == [SAID]


def test_messages_are_shown_to_their_own_tenant_only():
    logs = arrived_logs(logs_request(*CONVERSATION), tenant="a")
    assert shown([[logs, *(arrived(request(span("chat", CHAT)), tenant=tenant) for tenant in "ab")]]) == [SAID, {}]


def test_a_record_without_a_span_is_a_plain_record():
    record = log({"content": "x"}, event_name="gen_ai.user.message")
    sink = Recorder()
    new_pipeline(sink).process([arrived_logs(logs_request(record))])
    assert sink.rows("span_messages") == []
    assert sink.rows("span_contents") == []
    assert [row["Body"] for row in sink.rows("otel_logs")] == ['{"content":"x"}']


def test_contents_of_spans_and_records_of_one_batch_are_both_stored_once():
    told = [{"role": "user", "parts": []}]
    record = details({"gen_ai.input.messages": any_value(told), "gen_ai.output.messages": [{"n": 1}]})
    own = span("chat", CHAT | {"gen_ai.input.messages": json.dumps(told, separators=(",", ":"))}, span_id=2)
    sink = Recorder()
    new_pipeline(sink).process([arrived_logs(logs_request(record)), arrived(request(own))])
    assert sorted(row["content"] for row in sink.rows("span_contents")) == [b'{"n":1}', b'{"role":"user","parts":[]}']
