"""Argument, environment, default; and wrong settings are said, not raised, unless in an argument."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from clew import _settings
from clew._content import Content, ContentRules
from clew.errors import SettingError
from clew_processor.config import SDK_VARIABLES
from clew_processor.config import Settings as ProcessorSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(("CLEW_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["/somewhere/agent.py"])


FULL, OFF, METADATA = map(ContentRules.all, (Content.FULL, Content.OFF, Content.METADATA))


def load(service=None, endpoint=None, content=None, redact=None):
    return _settings.load(service, endpoint, content, redact)


def test_defaults():
    assert load() == _settings.Settings(service="agent", endpoint=None, content=FULL)


@pytest.mark.parametrize(
    ("argv0", "service"),
    [
        ("/a/tool.py", "tool"),
        ("/a/pkg/__main__.py", "pkg"),
        ("-c", "python"),
        ("", "python"),
        ("/usr/bin/agent", "agent"),
    ],
)
def test_service_is_named_after_the_script(monkeypatch, argv0, service):
    monkeypatch.setattr(sys, "argv", [argv0])
    assert load().service == service


def test_otel_variables_go_before_clews_and_arguments_before_both(monkeypatch):
    monkeypatch.setenv("CLEW_SERVICE", "from-clew")
    monkeypatch.setenv("CLEW_ENDPOINT", "http://clew:1")
    assert (load().service, load().endpoint) == ("from-clew", "http://clew:1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-otel")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:1")
    assert (load().service, load().endpoint) == (None, None)  # left to OpenTelemetry
    assert load(service="given", endpoint="http://given:1").service == "given"
    assert load(service="given", endpoint="http://given:1").endpoint == "http://given:1"


def test_service_in_the_resource_attributes_counts(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a, service.name=billing")
    assert load().service is None


@pytest.mark.parametrize(
    ("standard", "content"),
    [
        ("SPAN_ONLY", FULL),
        ("span_and_event", FULL),
        ("NO_CONTENT", OFF),
        ("EVENT_ONLY", OFF),
    ],
)
def test_content_follows_the_standard_variable_where_clews_is_not_set(monkeypatch, standard, content):
    monkeypatch.setenv(_settings.CAPTURE_CONTENT, standard)
    assert load().content == content
    monkeypatch.setenv("CLEW_CONTENT", "metadata")
    assert load().content == METADATA


@pytest.mark.parametrize(
    "given", ["metadata,tools=hashed", " Tools = HASHED , all=metadata", {"all": "metadata", "tools": "hashed"}]
)
def test_content_has_a_mode_for_each_class(monkeypatch, given):
    expected = dataclasses.replace(METADATA, tools=Content.HASHED)
    assert load(content=given).content == expected
    if isinstance(given, str):
        monkeypatch.setenv("CLEW_CONTENT", given)
        assert load().content == expected


def test_classes_that_are_not_named_are_full():
    assert load(content={"messages": "off"}).content == dataclasses.replace(FULL, messages=Content.OFF)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "ful",
            r"content='ful' is not allowed: 'ful' is no mode \(did you mean 'full'\?\). Allowed: off, metadata, hashed",
        ),
        (
            "full,mesages=off",
            r"'mesages' is no class of content \(did you mean 'messages'\?\). Allowed: messages, system",
        ),
        ({"tools": "hash"}, r"'hash' is no mode \(did you mean 'hashed'\?\)"),
        ("", r"'' is no mode"),
        ("full,", r"'' is no mode"),
    ],
)
def test_wrong_content_argument_names_the_nearest(given, said):
    with pytest.raises(SettingError, match=said):
        load(content=given)


@pytest.mark.parametrize("value", ["hasht", "full,tools"])
def test_wrong_content_in_the_environment_is_said_and_nothing_is_recorded(monkeypatch, caplog, value):
    monkeypatch.setenv("CLEW_CONTENT", value)
    assert load().content == OFF
    [line] = [record.getMessage() for record in caplog.records]
    assert f"CLEW_CONTENT={value!r}" in line
    assert "off, metadata, hashed, full" in line


def test_own_patterns_come_from_argument_and_environment(monkeypatch):
    monkeypatch.setenv("CLEW_REDACT", "EMP-[0-9]{6}\n\n[A-Z]{3}/[0-9]{4}\n")
    assert load(redact={"ticket": "T-[0-9]+"}).content.patterns == (
        ("ticket", "T-[0-9]+"),
        ("own", "EMP-[0-9]{6}"),
        ("own", "[A-Z]{3}/[0-9]{4}"),
    )


def test_refused_pattern_is_an_error_in_an_argument_and_no_content_in_the_environment(monkeypatch, caplog):
    with pytest.raises(
        SettingError, match=r"redact: the pattern '\(a\+\)\+b' is refused: it repeats something without an end"
    ):
        load(redact=["(a+)+b"])
    monkeypatch.setenv("CLEW_REDACT", "(a+)+b")
    assert load(content="full").content == OFF
    assert "CLEW_REDACT" in caplog.text


def test_limit_is_a_number_of_bytes(monkeypatch, caplog):
    monkeypatch.setenv("CLEW_CONTENT_LIMIT", "4096")
    assert load().content.limit_bytes == 4096
    for wrong in ("12", "4MB", "999999999999"):
        monkeypatch.setenv("CLEW_CONTENT_LIMIT", wrong)
        assert load().content == FULL
    assert "CLEW_CONTENT_LIMIT='12' is no number of bytes from 1024 to 2000000" in caplog.text


def test_unknown_variable_is_said_with_the_nearest_known(monkeypatch, caplog):
    monkeypatch.setenv("CLEW_CONTNET", "off")
    monkeypatch.setenv("CLEW_SAMPLING__PROBABILITY", "0.5")  # the processor's
    monkeypatch.setenv("CLEW_STORE", "chdb:///x")
    load()
    [line] = [record.getMessage() for record in caplog.records]
    assert "CLEW_CONTNET" in line
    assert "did you mean 'CLEW_CONTENT'?" in line


def test_the_processors_settings_are_known():
    """The SDK may not import the processor, so it holds a list."""
    assert set(ProcessorSettings.model_fields) | {"config"} == _settings.PROCESSOR_SETTINGS


def test_the_processor_knows_the_sdks_variables():
    assert _settings.VARIABLES <= SDK_VARIABLES
