"""Telemetry set up by a vendor's own package, by name; each sends to the recorder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import harness
from harness import CONTENT, SINK_URL


def otel() -> None:
    harness.set_up_otel()


def openlit() -> None:
    import openlit

    prices = {
        "chat": {
            "gpt-4o-mini": {"promptPrice": 0.00015, "completionPrice": 0.0006},
            "gpt-4o-mini-2024-07-18": {"promptPrice": 0.00015, "completionPrice": 0.0006},
        }
    }
    path = Path(os.environ["HOME"], "pricing.json")
    path.write_text(json.dumps(prices))
    openlit.init(
        application_name="travel-assistant",
        environment="test",
        otlp_endpoint=SINK_URL,
        pricing_json=str(path) if os.environ.get("CORPUS_PRICES") else None,
        disable_metrics=True,
        **{"capture_message_content" if openlit_takes("capture_message_content") else "trace_content": CONTENT},
    )
    _flush_global()


def openlit_takes(argument: str) -> bool:
    import inspect

    import openlit

    return argument in inspect.signature(openlit.init).parameters


def _flush_global() -> None:
    from opentelemetry import trace
    from opentelemetry._logs import get_logger_provider

    harness._flushers.extend([trace.get_tracer_provider(), get_logger_provider()])


def _logfire() -> object:
    import logfire
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = BatchSpanProcessor(OTLPSpanExporter(f"{SINK_URL}/v1/traces"), schedule_delay_millis=120)
    logfire.configure(
        send_to_logfire=False, console=False, service_name="travel-assistant", additional_span_processors=[exporter],
        inspect_arguments=False, metrics=False,
    )  # fmt: skip
    harness._flushers.append(logfire)
    return logfire


def logfire_openai() -> None:
    _logfire().instrument_openai()


def logfire_anthropic() -> None:
    _logfire().instrument_anthropic()


def logfire_agents() -> None:
    _logfire().instrument_openai_agents()


def logfire_genai() -> None:
    _logfire().instrument_google_genai()


def pydantic_logfire() -> None:
    _logfire().instrument_pydantic_ai(include_content=CONTENT)


def langfuse() -> None:
    from langfuse import Langfuse, observe

    mask = None if CONTENT else lambda *_, **__: "<masked>"
    client = Langfuse(public_key="pk-lf-test", secret_key="sk-lf-test", host=SINK_URL, mask=mask)
    harness._flushers.append(client.flush)
    harness.as_tool = observe(as_type="tool")
    harness.as_agent = observe(as_type="agent")
    harness.openai_module = "langfuse.openai"


def langfuse_langchain() -> None:
    langfuse()
    from langfuse.langchain import CallbackHandler

    harness.callbacks = [CallbackHandler()]


def langsmith() -> None:
    """Environment variables switch it on; the client wrapper and the decorators see to plain OpenAI."""
    import langsmith as ls
    from langsmith.wrappers import wrap_openai

    harness.as_tool = ls.traceable(run_type="tool", name="get_weather")
    harness.as_agent = ls.traceable(run_type="chain", name="travel_assistant")
    harness.wrap_client = wrap_openai
    harness._flushers.append(lambda: ls.run_trees.get_cached_client().flush())


def mlflow() -> None:
    import mlflow as module

    module.openai.autolog()
    _mlflow(module)


def mlflow_langchain() -> None:
    import mlflow as module

    module.langchain.autolog()
    _mlflow(module)


def _mlflow(module: object) -> None:
    harness.as_tool = module.trace(name="get_weather", span_type="TOOL")
    harness.as_agent = module.trace(name="travel_assistant", span_type="AGENT")
    harness._flushers.append(module.flush_trace_async_logging)
    from mlflow.tracing import provider

    harness._flushers.append(lambda: provider.provider.get().force_flush())


def traceloop() -> None:
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import agent, tool

    Traceloop.init(
        app_name="travel-assistant",
        api_endpoint=SINK_URL,
        api_key="test",
        telemetry_enabled=False,
        resource_attributes={},
    )
    Traceloop.set_association_properties({"session_id": harness.SESSION, "user_id": "user-7"})
    harness.as_tool = tool(name="get_weather")
    harness.as_agent = agent(name="travel_assistant")
    _flush_global()


def agentops() -> None:
    import agentops as module
    from agentops.sdk.decorators import agent, operation, tool

    del agent, operation
    import openai  # noqa: F401  (its instrumentor cannot work while the client is being imported)

    module.init(
        api_key="11111111-2222-3333-4444-555555555555", endpoint=SINK_URL, exporter_endpoint=f"{SINK_URL}/v1/traces",
        log_session_replay_url=False, auto_start_session=True, env_data_opt_out=True,
    )  # fmt: skip
    harness.as_tool = tool(name="get_weather")
    harness._flushers.append(module.end_trace)
    _flush_global()


def lmnr() -> None:
    from lmnr import Laminar, observe

    base, port = SINK_URL.rsplit(":", 1)
    Laminar.initialize(project_api_key="test", base_url=base, http_port=int(port), force_http=True)
    Laminar.set_trace_session_id(harness.SESSION) if hasattr(Laminar, "set_trace_session_id") else None
    harness.as_tool = observe(name="get_weather", span_type="TOOL")
    harness.as_agent = observe(name="travel_assistant", session_id=harness.SESSION, user_id="user-7")
    harness._flushers.append(Laminar)


def litellm() -> None:
    os.environ |= {
        "OTEL_EXPORTER": "otlp_http",
        "OTEL_ENDPOINT": f"{SINK_URL}/v1/traces",
        "OTEL_SERVICE_NAME": "travel-assistant",
    }
    import litellm as module

    module.callbacks = ["otel"]
    module.turn_off_message_logging = not CONTENT
    harness._flushers.append(_settle)
    harness._late_flush_global = True


def _settle() -> None:
    """Callbacks run in threads of their own; the provider is there only after the first call."""
    import time

    from opentelemetry import trace

    time.sleep(0.5)
    trace.get_tracer_provider().force_flush()


def agent_framework() -> None:
    otel()
    from agent_framework import observability

    name = "enable_instrumentation" if hasattr(observability, "enable_instrumentation") else "setup_observability"
    getattr(observability, name)(enable_sensitive_data=CONTENT)


def haystack() -> None:
    if CONTENT:
        os.environ["HAYSTACK_CONTENT_TRACING_ENABLED"] = "true"
    otel()
    from haystack import tracing
    from opentelemetry import trace

    try:
        from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer
    except ImportError:
        from haystack.tracing import OpenTelemetryTracer
    tracing.enable_tracing(OpenTelemetryTracer(trace.get_tracer("travel_assistant")))
    tracing.tracer.is_content_tracing_enabled = CONTENT


def strands() -> None:
    otel()


def livekit() -> None:
    otel()
    from livekit.agents import telemetry

    telemetry.set_tracer_provider(harness.tracer_provider)


def pydantic_openinference() -> None:
    """Spans of pydantic-ai rewritten on their way out."""
    otel()
    from openinference.instrumentation.pydantic_ai import OpenInferenceSpanProcessor

    _first(OpenInferenceSpanProcessor())


def strands_openinference() -> None:
    otel()
    from openinference.instrumentation.strands_agents import StrandsAgentsToOpenInferenceProcessor

    _first(StrandsAgentsToOpenInferenceProcessor())


def _first(processor: object) -> None:
    """Puts a processor before the exporting one."""
    active = harness.tracer_provider._active_span_processor
    active._span_processors = (processor, *active._span_processors)
