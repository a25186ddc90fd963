"""Where content stands on spans: one table of attribute names, for every instrumentation that is known.

What a name is not in the table for, but by its last word seems to hold content, is taken for content too: better
nothing of a new library's than everything.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from clew import _semconv
from clew._content import ContentClass


class Form(StrEnum):
    """How a value holds content."""

    MESSAGES = "messages"
    """Messages, parts of them, or something around them, as JSON or structured; or plain text."""
    VALUE = "value"
    """One value as a whole."""
    ANSWER = "answer"
    """One value a tool gave back, perhaps in a wrapping."""
    EITHER = "either"
    """Messages, or arguments or results of a tool: which of them depends on the span."""
    DEFINITIONS = "definitions"
    """Definitions of tools."""
    PARAMETERS = "parameters"
    """Parameters of a model call, metadata: words and numbers are settings and always kept, what else stands there is
    content."""
    FLAT = "flat"
    """One field of a message: the attribute's name tells which."""
    FAILURE = "failure"
    """What an exception says, perhaps after its class."""
    STACK = "stack"
    """A stack trace."""


class Place(NamedTuple):
    """What an attribute holds."""

    kind: ContentClass
    form: Form


_M, _S, _T, _D, _N, _E = ContentClass
_ANY, _VALUE, _ANSWER, _EITHER, _FLAT = Form.MESSAGES, Form.VALUE, Form.ANSWER, Form.EITHER, Form.FLAT


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EXCEPTION = Place(_E, Form.FAILURE)
"""Text of an exception outside of any attribute."""

_EXACT: dict[Place, str] = {
    Place(_M, _ANY): f"""
        {_semconv.GEN_AI_INPUT_MESSAGES} {_semconv.GEN_AI_OUTPUT_MESSAGES} gen_ai.prompt gen_ai.completion
        gen_ai.event.content gen_ai.request.messages gen_ai.response.text gen_ai.response.tool_calls
        gen_ai.content.prompt gen_ai.content.completion gen_ai.content.reasoning gen_ai.content.revised_prompt
        gen_ai.task.input gen_ai.task.output gen_ai.guardrail.input gen_ai.guardrail.output gen_ai.agent.thinking
        gen_ai.aggregated_usage.messages gen_ai.evaluation.explanation gen_ai.evaluation.score.explanation
        ai.prompt ai.prompt.messages ai.response.text ai.response.object ai.response.reasoning ai.response.toolCalls
        ai.response.files ai.result.text ai.result.object ai.result.toolCalls ai.value ai.values
        all_messages_events pydantic_ai.all_messages pydantic_ai.new_messages events final_result request_data
        response_data crewai.crew.result crewai.crew.tasks_output crewai.task.output lk.chat_ctx lk.pii.chat_ctx
        lk.response.text lk.pii.response.text lk.user_input lk.pii.user_input lk.user_transcript
        lk.pii.user_transcript lk.response.function_calls lk.pii.response.function_calls lk.input_text
        lk.pii.input_text gcp.vertex.agent.llm_request gcp.vertex.agent.llm_response gcp.vertex.agent.data
        prompt response user_prompt mlflow.chunk.value mlflow.chat.messages
        smolagents.task task query text body content message user_input transcript
        """,
    Place(_M, _EITHER): """
        input output input.value output.value inputs outputs traceloop.entity.input traceloop.entity.output
        agentops.entity.input agentops.entity.output braintrust.input_json braintrust.output_json braintrust.input
        braintrust.output genkit:input genkit:output genkit:state haystack.component.input haystack.component.output
        haystack.agent.input haystack.agent.output haystack.agent.step.llm.input haystack.agent.step.llm.output
        haystack.pipeline.input_data haystack.pipeline.output_data langfuse.observation.input
        langfuse.observation.output langfuse.trace.input langfuse.trace.output lmnr.span.input lmnr.span.output
        mlflow.spanInputs mlflow.spanOutputs mlflow.traceRequestId.inputs mastra.agent_run.input
        mastra.agent_run.output mastra.model_generation.input mastra.model_generation.output mastra.model_step.input
        mastra.model_step.output
        """,
    Place(_S, _ANY): f"""
        {_semconv.GEN_AI_SYSTEM_INSTRUCTIONS} gen_ai.agent.description gen_ai.agent.instructions
        gen_ai.tool.description tool.description lk.instructions
        lk.pii.instructions ai.settings.system agent.instructions crewai.agent.goal crewai.agent.backstory
        crewai.task.description crewai.task.expected_output
        """,
    Place(_S, Form.DEFINITIONS): f"""
        {_semconv.GEN_AI_TOOL_DEFINITIONS} gen_ai.request.available_tools ai.prompt.tools mlflow.chat.tools
        haystack.agent.tools model_request_parameters tool.json_schema tools
        """,
    Place(_S, Form.PARAMETERS): """
        crew_agents crew_tasks crewai.crew.agents crewai.crew.tasks crewai.agents crewai.tasks
        llm.invocation_parameters invocation_params metadata langfuse.observation.model.parameters
        embedding.invocation_parameters
        """,
    Place(_T, _VALUE): f"""
        {_semconv.GEN_AI_TOOL_CALL_ARGUMENTS} gen_ai.tool.args gen_ai.tool.input gcp.vertex.agent.tool_call_args
        spring.ai.tool.call.arguments ai.toolCall.args agentops.tool.input haystack.agent.step.tool.input
        lk.function_tool.arguments lk.pii.function_tool.arguments arguments function_args full_command tool.parameters
        tool_arguments tool_input tool_parameters mcp.request.argument mcp.tool.arguments tool.input args kwargs
        """,
    Place(_T, _ANSWER): f"""
        {_semconv.GEN_AI_TOOL_CALL_RESULT} gen_ai.tool.output gcp.vertex.agent.tool_response
        spring.ai.tool.call.result ai.toolCall.result agentops.tool.output haystack.agent.step.tool.output
        lk.function_tool.output lk.pii.function_tool.output tool.result tool_response mcp.response.value
        mcp.tool.result tool.output result
        """,
    Place(_D, _VALUE): """
        gen_ai.retrieval.documents gen_ai.retrieval.query.text gen_ai.memory.query.text gen_ai.memory.records
        reranker.query db.query.result.document documents
        """,
    Place(_N, _VALUE): " ".join(_semconv.CLEW_CONTENT_ATTRIBUTES),
    EXCEPTION: f"""
        {_semconv.EXCEPTION_MESSAGE} error.message gen_ai.framework.error.message gen_ai.error.message
        gen_ai.guardrail.error.message langfuse.observation.status_message error_message
        """,
    Place(_E, Form.STACK): f"{_semconv.EXCEPTION_STACKTRACE} error.stack",
}
_PREFIXES: tuple[tuple[str, Place], ...] = (
    ("gen_ai.prompt.", Place(_M, _FLAT)),
    ("gen_ai.completion.", Place(_M, _FLAT)),
    ("llm.input_messages.", Place(_M, _FLAT)),
    ("llm.output_messages.", Place(_M, _FLAT)),
    ("llm.prompts.", Place(_M, _FLAT)),
    ("llm.choices.", Place(_M, _FLAT)),
    ("llm.openai.", Place(_M, _FLAT)),
    ("llm.prompt_template.", Place(_S, _VALUE)),
    ("llm.request.functions.", Place(_S, _FLAT)),
    ("gen_ai.request.functions.", Place(_S, _FLAT)),
    ("llm.tools.", Place(_S, _FLAT)),
    ("traceloop.prompt.template", Place(_S, _VALUE)),
    ("embedding.embeddings.", Place(_D, _FLAT)),
    ("retrieval.documents.", Place(_D, _FLAT)),
    ("reranker.input_documents.", Place(_D, _FLAT)),
    ("reranker.output_documents.", Place(_D, _FLAT)),
    ("mcp.request.argument.", Place(_T, _VALUE)),
)
_NO_CONTENT = _words(
    "gen_ai.prompt.name gen_ai.prompt.version gen_ai.prompt.id llm.prompt_template.version llm.openai.model "
    "llm.openai.id llm.openai.object llm.openai.created llm.openai.system_fingerprint llm.openai.service_tier "
    "gen_ai.output.type"
)
_LAST_WORDS: dict[str, Place] = {
    word: place
    for place, words in {
        Place(_M, _EITHER): "input inputs output outputs request_body response_body",
        Place(
            _M, _ANY
        ): "prompt prompts completion completions messages content contents message user_prompt transcript",
        Place(_S, _ANY): "instructions system_prompt system_instructions backstory description",
        Place(_S, Form.DEFINITIONS): "tools json_schema",
        Place(_T, _VALUE): "arguments args kwargs parameters tool_input",
        Place(_T, _ANSWER): "result tool_output",
        Place(_D, _VALUE): "documents document",
    }.items()
    for word in words.split()
}
# Conventions that are not about GenAI, whose names have these words for other things; and our own, which are all known.
_NOT_GUESSED = tuple(
    _words(
        "clew. otel. db. http. url. rpc. messaging. server. client. network. process. service. telemetry. code. "
        "thread. faas. cloud. k8s. container. host. os. logfire. gen_ai.usage. gen_ai.request. gen_ai.token. "
        "llm.token_count. llm.cost. session. user. aws. error. openinference. deployment. langsmith. sentry. "
        "gen_ai.operation. log. langfuse.observation.model. graph. app."
    )
)
_EVENT_FIELDS = frozenset({"content", "message", "tool_calls", "tool.result", "role", "id", "name", "tool_call_id"})


@lru_cache(maxsize=4096)  # names are few; the bound is for those who make names of values
def place(name: str) -> Place | None:
    """What an attribute of this name holds; None where that is no content."""
    if (known := _BY_NAME.get(name)) is not None or name in _NO_CONTENT:
        return known
    for prefix, found in _PREFIXES:
        if name.startswith(prefix):
            return found
    if name.startswith(_NOT_GUESSED):
        return None
    stem, dot, last = name.rpartition(".")
    return _LAST_WORDS.get(last) if dot and stem else None


def place_in_event(event: str, name: str) -> Place | None:
    """The same for an attribute of an event."""
    if name in _EVENT_FIELDS and event.startswith(("gen_ai.", "tool.")):
        tool = event in ("gen_ai.tool.message", "tool.output") or name == "tool.result"
        if name in ("role", "id", "name", "tool_call_id"):
            return Place(_M, _FLAT)
        return Place(_T, _EITHER) if tool else Place(_M, _EITHER)
    return place(name)


_BY_NAME = {name: where for where, names in _EXACT.items() for name in names.split()}
