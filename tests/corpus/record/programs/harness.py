"""What the recorded programs share; runs inside an environment of their own, so it knows only OpenTelemetry.

A program defines some of `one`, `streamed`, `loop`, `handover`, `rag` (plain or async functions of a prompt) and calls
`main(globals())`; this module picks by scenario, sets up telemetry before, and sends everything after.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

SCENARIO = os.environ.get("CORPUS_SCENARIO", "S1")
MODEL_URL = os.environ.get("CORPUS_MODEL_URL", "http://127.0.0.1:1")
OPENAI_URL = f"{MODEL_URL}/v1"
SINK_URL = os.environ.get("CORPUS_SINK_URL", "http://127.0.0.1:1")
SETUP = [name for name in os.environ.get("CORPUS_SETUP", "").split(",") if name]
CONTENT = os.environ.get("CORPUS_CONTENT", "on") == "on"
APP_SPAN = os.environ.get("CORPUS_APP_SPAN") == "1"
OPENAI_MODEL = "o4-mini" if SCENARIO in ("S5", "C1") else "gpt-4o-mini"
ANTHROPIC_MODEL = "claude-sonnet-4-5"
GEMINI_MODEL = "gemini-2.5-flash"
EMBEDDING_MODEL = "text-embedding-3-small"
SESSION = "session-4711"
SERVICE = "travel-assistant"

SYSTEM = "You are a travel assistant. Answer in one sentence."
PROMPTS = {
    "S1": "What is the weather in Paris?",
    "S2": "What is the weather in Paris, and tomorrow?",
    "S3": "What is the weather in Berlin?",
    "S4": "Which is warmer today, Paris or Berlin?",
    "S5": "Train or plane from Paris to Berlin? Think about it.",
    "S6": "What is the weather in Paris?",
    "S7": "What is the weather in Paris?",
    "S8": "Keep asking for the weather in Paris until it changes.",
    "S9": "Let the expert tell me the weather in Paris.",
    "S10": "How is the weather?",
    "S11": "When does the museum open?",
    "S12": "What is the weather in Atlantis?",
    "S13": "What is the weather in Paris?",
    "S14": "Look up the weather in Paris.",
    "S15": "Look up the weather in Paris.",
    "C1": "Which is warmer today, Paris or Berlin?",
}
PROMPT = PROMPTS[SCENARIO]
DOCUMENTS = ["The museum opens at nine and closes at six.", "The train to Berlin leaves at ten past seven."]
KIND = {
    "S1": "one", "S2": "streamed", "S3": "streamed", "S4": "loop", "S5": "one", "S6": "one", "S7": "one", "S8": "loop",
    "S9": "handover", "S10": "loop", "S11": "rag", "S12": "loop", "S13": "guarded", "S14": "approved",
    "S15": "approved", "C1": "loop",
}  # fmt: skip
#: What the human says to a tool that needs approval.
ALLOWED = SCENARIO != "S15"
#: Whether a streaming program asks for the usage.
STREAM_USAGE = SCENARIO != "S3"


def get_weather(city: str) -> str:
    """Current weather of a city.

    Args:
        city: Name of the city.
    """
    if city == "Atlantis":
        raise LookupError("no weather station in Atlantis")
    return {"Paris": "21 degrees, wind from the west", "Berlin": "17 degrees, clouds"}.get(city, "mild and dry")


WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city."}},
    "required": ["city"],
}


def weather_or_error(city: str) -> str:
    """For loops written by hand: the error's text is what the model gets."""
    try:
        return get_weather(city)
    except LookupError as error:
        return f"error: {error}"


_flushers: list = []
#: What a vendor's set-up may replace: decorators of tools and agents, where the OpenAI client comes from, callbacks.
openai_module = "openai"
callbacks: list = []


def as_tool(function):
    return function


def as_agent(function):
    return function


def wrap_client(client):
    return client


tracer_provider = logger_provider = None


def set_up_otel() -> None:
    """The application's own OpenTelemetry: OTLP over HTTP to the recorder."""
    global tracer_provider, logger_provider  # noqa: PLW0603
    from opentelemetry import trace
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": SERVICE})
    tracer_provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(f"{SINK_URL}/v1/traces")
    tracer_provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=120, max_export_batch_size=16)
    )
    trace.set_tracer_provider(tracer_provider)
    logger_provider = LoggerProvider(resource=resource)
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{SINK_URL}/v1/logs")))
    set_logger_provider(logger_provider)
    _flushers.extend([tracer_provider, logger_provider])


def set_up() -> None:
    """Telemetry as the recorder's table asks: names of `setups`, or `module:Instrumentor`."""
    import setups

    for name in SETUP:
        if ":" in name:
            module, _, cls = name.partition(":")
            kwargs = {"tracer_provider": tracer_provider}
            if "genai" in module or "openai_v2" in module:
                kwargs["logger_provider"] = logger_provider
            getattr(importlib.import_module(module), cls)().instrument(**kwargs)
        else:
            getattr(setups, name)()


@contextlib.contextmanager
def app_span():
    """The span of the application around a run, where the table asks for one."""
    if not APP_SPAN:
        yield
        return
    from opentelemetry import trace

    with trace.get_tracer("travel_assistant").start_as_current_span("answer question"):
        yield


def _run(function, prompt: str):
    with app_span():
        if inspect.iscoroutinefunction(function):
            return asyncio.run(function(prompt))
        return function(prompt)


async def _run_async(function, prompt: str):
    with app_span():
        return await function(prompt)


def _three(function) -> None:
    prompts = [f"{PROMPT} (traveller {number})" for number in range(3)]
    if inspect.iscoroutinefunction(function):

        async def together() -> None:
            await asyncio.gather(*(_run_async(function, prompt) for prompt in prompts))

        asyncio.run(together())
    else:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda prompt: _run(function, prompt), prompts))


def main(program: dict) -> None:
    """Runs the scenario with the program's functions; exits with 3 where the program has none for it."""
    function = program.get(KIND[SCENARIO])
    if function is None:
        sys.exit(3)
    code = 0
    try:
        if SCENARIO == "S10":
            _three(function)
        else:
            print("answer:", _run(function, PROMPT))
    except Exception:
        traceback.print_exc()
        code = 0 if SCENARIO == "S7" else 1
    finally:
        for flusher in _flushers:
            with contextlib.suppress(Exception):
                flusher.force_flush() if hasattr(flusher, "force_flush") else flusher()
        for flusher in _flushers:
            if hasattr(flusher, "shutdown"):
                with contextlib.suppress(Exception):
                    flusher.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
