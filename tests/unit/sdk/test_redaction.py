"""What may not leave the process does not, and what may is left as it was."""

from __future__ import annotations

import json
import re
import re._constants as sre
import re._parser as sre_parser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status, StatusCode

from clew._content import Content
from clew._content.patterns import own_rule
from clew._content.prepare import prepare
from clew._content.redact import Redactor
from clew._content.secrets import PERSONAL, SECRET_FIELDS, SECRETS

REDACTOR = Redactor()
redact, redact_text = REDACTOR.redact, REDACTOR.text
A40 = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0"
# rule -> texts, the secret between « and »
EXAMPLES = {
    "private_key": [
        "key:\n«-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,X\n\nMIIE+a/b=\n-----END RSA PRIVATE KEY-----»\nrest",
        "«-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk»",
    ],
    "anthropic_api_key": [f"use «sk-ant-api03-{A40}-_AA» now"],
    "openai_api_key": [f"«sk-{A40}»", f"OPENAI: «sk-proj-{A40}_x-y»."],
    "aws_access_key": ["id «AKIAIOSFODNN7EXAMPLE», region", "«ASIA1234567890ABCDEF»"],
    "github_token": [f"«ghp_{A40}»", f"git clone https://«ghs_{A40}»@github.com/o/r", f"«github_pat_11AA_{A40}»"],
    "gitlab_token": ["«glpat-abcdefghij1234567890»"],
    "slack_token": ["«xoxb-123456789012-abcdef»", "«xapp-1-A111-222-abc»"],
    "slack_webhook": ["https://hooks.slack.com/services/«T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX»"],
    "google_api_key": [f"«AIza{A40[:35]}»"],
    "google_token": ["«ya29.a0AfH6SMBx1234567890-_x»"],
    "stripe_key": ["«sk_live_1234567890abcdefABCDEF»", "«whsec_1234567890abcdefABCDEF»"],
    "huggingface_token": [f"«hf_{A40[:34]}»"],
    "groq_api_key": [f"«gsk_{A40}»"],
    "xai_api_key": [f"«xai-{A40}»"],
    "jwt": ["«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P»"],
    "bearer_token": [
        "Authorization: Bearer «abcdef1234567890._~+/-abcdef==»",
        "curl -H 'authorization: bearer «0123456789abcdef»'",
    ],
    "url_password": ["postgres://app:«s3cr:t!»@db.internal:5432/x", "redis://:«hunter2»@cache"],
    "password": [
        "DB_PASSWORD=«hunter22»",
        "{'api_key': '«abc123def»'}",
        "AWS_SECRET_ACCESS_KEY=«wJalrXUtnFEMI/K7MDENG/bPxRfi»",
    ],
    "authorization": ["Authorization: Basic «aW5lczpodW50ZXIy»", "{'authorization': 'token «abcdef»'}"],
    "url_token": [
        "https://files.example/a.pdf?expires=1&X-Amz-Signature=«0f3a9c»&b=1",
        "wss://x.example/?token=«hunter2» and",
    ],
    "secret_argument": ["run.py --api-key «abc12345» --out x", "--auth-token=«hunter2-hunter2»"],
    "email": ["write to «ines.duarte+x@mail.example.co.uk».", "<«a@b.de»>"],
    "iban": ["to «DE89 3704 0044 0532 0130 00» please", "«GB29NWBK60161331926819»", "«BE68 5390 0754 7034» PLEASE"],
    "card_number": ["card «4111 1111 1111 1111», 12/29", "«5500-0000-0000-0004»", "«378282246310005»"],
    "phone_number": ["call «+49 30 1234567» or", "«(415) 555-2671»", "«415-555-2671»"],
}
# What looks like one and is none.
HARMLESS = [
    "task-management-is-a-very-long-word-1234567890",
    "sk-learn-is-spelt-with-a-hyphen-by-some",
    "the bearer responsibilities-of-the-office",
    "password: at least twelve characters",
    "password=get_password_from_vault()",
    "https://example.com/path?x=1#y",
    "http://localhost:8080/a@b",
    "git@github.com:clew/clew.git",
    "@dataclass\nclass A: ...",
    "order 4111111111111112 of 2026",  # fails the checksum
    "trace 1767323045000000000",
    "0.4111111111111111",
    "DE89 3704 0044 0532 0130 01",  # fails the checksum
    "2026-01-02 03:04:05 +0100",
    "1-800 items, 555-12",
    "chatcmpl-a4f7c32b3d3c69da79e4d4d1",
    "AKIASHORT",
    "eyJhbGciOiJIUzI1NiJ9 alone",
    "a basic understanding of authorization",
    "https://example.com/?page=1&sort=name&q=token",
    "--max-tokens 4096 --token-file /etc/app/token1234",
]
CASES = [(name, text) for name, texts in EXAMPLES.items() for text in texts]


def test_every_rule_has_examples():
    assert set(EXAMPLES) == {rule.name for rule in SECRETS + PERSONAL}


@pytest.mark.parametrize(("name", "marked"), CASES)
def test_secret_is_replaced_and_nothing_around_it(name, marked):
    secret = re.search("«(.*)»", marked, re.DOTALL).group(1)
    expected = marked.replace(f"«{secret}»", f"[REDACTED:{name}]")
    assert redact_text(marked.replace("«", "").replace("»", ""), personal=True) == expected


@pytest.mark.parametrize(("name", "marked"), CASES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_json_stays_valid_and_loses_only_the_secret(name, marked, depth):
    """At any depth of JSON in JSON, where a line break before a secret is a backslash and an n."""
    plain = "\n" + marked.replace("«", "").replace("»", "")
    value = {"text": plain, "n": 1.5, "other": 'Zürich \\ "q"'}
    for _ in range(depth - 1):
        value = {"arguments": json.dumps(value), "ok": True}
    cleaned = json.loads(redact_text(json.dumps(value), personal=True))
    for _ in range(depth - 1):
        assert cleaned["ok"] is True
        cleaned = json.loads(cleaned["arguments"])
    assert cleaned == {**value_at_depth(value, depth), "text": redact_text(plain, personal=True)}
    assert f"[REDACTED:{name}]" in cleaned["text"]


def value_at_depth(value, depth):
    for _ in range(depth - 1):
        value = json.loads(value["arguments"])
    return value


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text):
    assert redact_text(text, personal=True) is text


def test_number_in_json_that_is_a_card_becomes_text():
    assert json.loads(redact_text('{"card": 4111111111111111, "n": 17}', personal=True)) == {
        "card": "[REDACTED:card_number]",
        "n": 17,
    }


def test_field_that_names_a_secret_loses_its_text_whatever_it_is():
    text = '{"user":"ines","password":"correct horse","headers":{"Authorization":"Basic aW5lczpo"},"secret":""}'
    assert json.loads(redact_text(text, personal=True)) == {
        "user": "ines",
        "password": "[REDACTED:secret_field]",
        "headers": {"Authorization": "[REDACTED:secret_field]"},
        "secret": "",
    }


def test_tool_definition_with_a_password_parameter_is_left_as_it_is():
    text = '[{"name":"log_in","parameters":{"properties":{"password":{"type":"string"}}}}]'
    assert redact_text(text, personal=True) is text


def test_own_rules_replace_whole_matches_in_every_text():
    redactor = Redactor((own_rule("ticket", "(T|U)-[0-9]+"), own_rule("own", "(?i)acme[0-9]{2}")))
    assert (
        redactor.text("see T-12 of Acme07, U-3", personal=False)
        == "see [REDACTED:ticket] of [REDACTED:own], [REDACTED:ticket]"
    )
    assert redactor.text('{"a":"T-1"}', personal=True) == '{"a":"[REDACTED:ticket]"}'


def test_personal_data_is_left_where_there_is_no_content():
    assert redact_text("svc@host.example", personal=False) == "svc@host.example"
    assert "REDACTED" in redact_text("sk-" + A40, personal=False)


def test_structured_values_are_redacted_inside():
    value = {"a": ("x@y.org", 2), "b": [{"c": None}]}
    assert redact(value, personal=True) == {"a": ["[REDACTED:email]", 2], "b": [{"c": None}]}
    same = {"a": ("x", 2)}
    assert redact(same, personal=True) is same


def test_json_without_secrets_keeps_its_bytes():
    text = '{"a" :  1.0, "b": "\\u00e9 @home", "a": 2}'
    assert redact_text(text, personal=True) is text


@pytest.mark.parametrize("depth", [50, 500, 5000])
def test_json_that_nests_deep_is_searched_too(depth):
    text = '[{"a":' * depth + '"ines@example.com"' + "}]" * depth
    assert redact_text(text, personal=True) == text.replace("ines@example.com", "[REDACTED:email]")


def test_long_text_is_searched_too():
    text = "x" * 100_000 + " ines@example.com " + "y" * 100_000
    assert "[REDACTED:email]" in redact_text(text, personal=True)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([text.replace("«", "").replace("»", "") for _, text in CASES]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_json_stays_json(value):
    text = json.dumps({"v": value})
    once = redact_text(text, personal=True)
    json.loads(once)
    assert redact_text(once, personal=True) == once


@given(st.text(alphabet="aA1.@:/- +_=\"'\\\n{}[](),sk-eyJAKIAxox", max_size=200))
def test_any_text_is_redacted_once_and_for_all(text):
    once = redact_text(text, personal=True)
    assert redact_text(once, personal=True) == once


@pytest.mark.parametrize("rule", SECRETS + PERSONAL, ids=lambda rule: rule.name)
def test_patterns_take_linear_time(rule):
    """No repetition that could be tried in several ways, and no looking ahead without end."""
    for pattern in filter(None, (rule.pattern, rule.probe)):
        assert not list(slow_parts(sre_parser.parse(pattern.pattern, pattern.flags), looking=False))


@pytest.mark.parametrize("pattern", ["a*b", "(?:ab)+", "a??", "(?=a*+b)", "(?:x(?!a++))++"])
def test_slow_patterns_would_be_noticed(pattern):
    assert list(slow_parts(sre_parser.parse(pattern), looking=False))


def slow_parts(pattern, *, looking):
    for operation, argument in pattern:
        if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT) and argument[0] != argument[1]:
            yield argument
        if looking and operation is sre.POSSESSIVE_REPEAT and argument[1] is sre.MAXREPEAT:
            yield argument
        ahead = operation in (sre.ASSERT, sre.ASSERT_NOT)
        for part in flatten(argument):
            yield from slow_parts(part, looking=looking or ahead)


def flatten(argument):
    if isinstance(argument, sre_parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for item in argument:
            yield from flatten(item)


def test_every_name_of_a_secret_field_is_noticed():
    for field in SECRET_FIELDS:
        assert redact_text(json.dumps({field: "x"}), personal=True) == json.dumps({field: "[REDACTED:secret_field]"})


def make_span(attributes, events=(), status=None):
    started = TracerProvider().get_tracer("t").start_span("name")
    return ReadableSpan(
        "name",
        context=started.get_span_context(),
        attributes=attributes,
        events=events,
        status=status or Status(),
    )


MESSAGES = json.dumps(
    [
        {"role": "user", "parts": [{"type": "text", "content": "mail ines@example.com"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "send", "arguments": {"to": "x"}}]},
    ]
)


def test_span_without_secrets_is_not_copied():
    span = make_span({"gen_ai.input.messages": "[]", "n": 1}, [Event("e", {"a": "b"})])
    assert prepare(span, Content.FULL) is span


def test_redacted_span_says_so_and_keeps_the_rest():
    span = make_span(
        {"gen_ai.input.messages": MESSAGES, "gen_ai.agent.name": "a@b.org", "url": f"https://x?key=sk-{A40}"},
        [Event("exception", {"exception.message": "no mail to ines@example.com", "exception.type": "E"}, 17)],
        Status(StatusCode.ERROR, "E: no mail to ines@example.com"),
    )
    prepared = prepare(span, Content.FULL)
    assert "ines" not in prepared.attributes["gen_ai.input.messages"]
    assert prepared.attributes["gen_ai.agent.name"] == "a@b.org"  # no content
    assert prepared.attributes["url"] == "https://x?key=[REDACTED:openai_api_key]"
    assert prepared.attributes["clew.content.redacted"] is True
    [event] = prepared.events
    assert dict(event.attributes) == {"exception.message": "no mail to [REDACTED:email]", "exception.type": "E"}
    assert event.timestamp == 17
    assert prepared.status.description == "E: no mail to [REDACTED:email]"
    assert prepared.context is span.context
    assert span.attributes["gen_ai.input.messages"] == MESSAGES  # other exporters' copy


def test_field_that_names_a_secret_outside_of_content_too():
    span = make_span(
        {
            "http.request.header.authorization": ("Basic aW5lczpodW50ZXIy",),
            "http.request.header.x-api-key": "k",
            "llm.invocation_parameters": '{"model":"m","api_key":"k"}',
            "process.command_args": ("python", "agent.py", "--token", "k", "--model", "m"),
        }
    )
    assert dict(prepare(span, Content.FULL).attributes) == {
        "http.request.header.authorization": "[REDACTED:secret_field]",
        "http.request.header.x-api-key": "[REDACTED:secret_field]",
        "llm.invocation_parameters": '{"model":"m","api_key":"[REDACTED:secret_field]"}',
        "process.command_args": ("python", "agent.py", "--token", "[REDACTED:secret_field]", "--model", "m"),
        "clew.content.redacted": True,
    }


@pytest.mark.parametrize("mode", Content)
def test_secrets_are_replaced_wherever_there_is_text(mode):
    secret = f"sk-{A40}"
    resource = Resource({"service.name": f"svc {secret}", "list": ["a", secret]})
    scope = InstrumentationScope("s", attributes={"a": secret})
    context = make_span({}).context
    span = ReadableSpan(
        f"GET /?key={secret}",
        context=context,
        resource=resource,
        attributes={"db.query.text": f"SELECT '{secret}'", "url.full": f"https://x/?token={secret}", "n": 1},
        events=[Event(f"said {secret}", {"custom": secret}, 17)],
        links=[Link(context, {"custom": secret})],
        status=Status(StatusCode.ERROR, f"no {secret}"),
        instrumentation_scope=scope,
    )
    prepared = prepare(span, mode)
    assert A40 not in prepared.to_json()
    assert A40 not in str(
        [dict(link.attributes) for link in prepared.links] + [dict(prepared.instrumentation_scope.attributes)]
    )
    assert prepared.attributes["n"] == 1
    assert prepared.attributes["clew.content.redacted"] is True
    again = prepare(span, mode)
    assert again.resource is prepared.resource  # the exporter groups by it
    assert again.instrumentation_scope is prepared.instrumentation_scope


def test_text_that_utf8_cannot_write_is_mended():
    prepared = prepare(make_span({"gen_ai.tool.call.result": "cut \ud83d here"}), Content.FULL)
    assert prepared.attributes["gen_ai.tool.call.result"] == "cut ? here"
