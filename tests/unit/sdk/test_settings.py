"""Argument, environment, default; and wrong settings are said, not raised, unless in an argument."""

from __future__ import annotations

import sys

import pytest

from clew import _settings
from clew._content import Content
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


def load(service=None, endpoint=None, content=None):
    return _settings.load(service, endpoint, content)


def test_defaults():
    assert load() == _settings.Settings(service="agent", endpoint=None, content=Content.FULL)


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
        ("SPAN_ONLY", Content.FULL),
        ("span_and_event", Content.FULL),
        ("NO_CONTENT", Content.OFF),
        ("EVENT_ONLY", Content.OFF),
    ],
)
def test_content_follows_the_standard_variable_where_clews_is_not_set(monkeypatch, standard, content):
    monkeypatch.setenv(_settings.CAPTURE_CONTENT, standard)
    assert load().content is content
    monkeypatch.setenv("CLEW_CONTENT", "metadata")
    assert load().content is Content.METADATA


def test_hashed_content_is_refused_with_what_is_allowed():
    with pytest.raises(SettingError, match=r"content='hashed' is not there yet.*Allowed now: off, metadata, full"):
        load(content="hashed")


def test_wrong_content_argument_names_the_nearest():
    with pytest.raises(SettingError, match=r"content='ful' is not allowed \(did you mean 'full'\?\)"):
        load(content="ful")


@pytest.mark.parametrize("value", ["hashed", "everything"])
def test_wrong_content_in_the_environment_is_said_and_nothing_is_recorded(monkeypatch, caplog, value):
    monkeypatch.setenv("CLEW_CONTENT", value)
    assert load().content is Content.OFF
    [line] = [record.getMessage() for record in caplog.records]
    assert f"CLEW_CONTENT={value!r}" in line
    assert "off, metadata, full" in line


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
