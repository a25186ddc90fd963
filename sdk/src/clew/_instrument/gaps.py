"""What the recording of some frameworks leaves out, recorded by clew: by the distribution whose spans have the gap.

Each function here is called once, before that distribution's recording is turned on. It wraps the framework's own
methods and changes nothing that they do. A method that another version of the framework does not have is left out.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode, get_current_span

from clew import _guard, _semconv
from clew._spans.calls import traced
from clew._spans.scope import Scope
from clew._spans.tool import Execution

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.util.types import Attributes

    from clew._spans.tool import Parameters

    _Function = Callable[..., Any]


def _smolagents() -> None:
    """Tools: the official package (1.2b0) has none."""
    from smolagents.tools import Tool

    _wrap(Tool, "__call__", lambda args, kwargs: _execution(args[0].name, _Inputs, args, kwargs))


def _openai_agents() -> None:
    """A workflow that failed: the official package (1.3b0) says so of its agent only, the run would count as good."""
    from agents import run
    from agents.tracing.context import TraceCtxManager
    from agents.tracing.traces import TraceImpl

    streamed: ContextVar[Any] = ContextVar("clew_streamed_workflow", default=None)

    def left(leave: _Function) -> _Function:
        def leave_workflow(self: Any, kind: Any, error: BaseException | None, trace: Any) -> Any:
            if self.trace is not None:  # else a trace around it goes on
                _workflow_failed(error)
            return leave(self, kind, error, trace)

        return leave_workflow

    def streams(stream: _Function) -> _Function:
        async def stream_workflow(*args: Any, **kwargs: Any) -> Any:
            streamed.set(getattr(kwargs.get("streamed_result"), "trace", None))
            return await stream(*args, **kwargs)

        return stream_workflow

    def finished(finish: _Function) -> _Function:
        def finish_workflow(self: Any, *args: Any, **kwargs: Any) -> Any:
            if streamed.get() is self:  # which is finished while its failure is on its way out
                _workflow_failed(sys.exc_info()[1])
            return finish(self, *args, **kwargs)

        return finish_workflow

    _replace(TraceCtxManager, "__exit__", left)
    _replace(run, "start_streaming", streams)
    _replace(TraceImpl, "finish", finished)


def _workflow_failed(error: BaseException | None) -> None:
    """Says so of the current span, where the error is one."""
    try:
        if isinstance(error, Exception):
            span = get_current_span()
            span.set_attribute(_semconv.ERROR_TYPE, f"{type(error).__module__}.{type(error).__qualname__}")
            span.set_status(StatusCode.ERROR, str(error))
    except Exception as failure:
        _guard.failed("recording the failure of a workflow", failure)


def _crewai() -> None:
    """Crews run by `akickoff`, and coworkers that work is delegated to: OpenInference (1.1.21) knows neither.

    Of an agent's span it knows the role, by a name that the model calls below do not inherit.
    """
    from crewai import Crew, Task
    from crewai.tools.agent_tools.base_agent_tools import BaseAgentTool

    def task(args: tuple[Any, ...], _: dict[str, Any]) -> Scope:
        agent = args[1] if len(args) > 1 and args[1] is not None else args[0].agent
        return _Invocation("invoke_agent", _semconv.GEN_AI_AGENT_NAME, getattr(agent, "role", "agent"))

    def coworker(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
        given = str(args[1] if len(args) > 1 else kwargs.get("agent_name"))
        tool = args[0]
        named = (agent.role for agent in tool.agents if tool.sanitize_agent_name(agent.role) == given.casefold())
        return _Invocation("invoke_agent", _semconv.GEN_AI_AGENT_NAME, next(named, given))

    def named(execute: _Function) -> _Function:
        def execute_named(*args: Any, **kwargs: Any) -> Any:
            try:
                agent = args[1] if len(args) > 1 else kwargs.get("agent")  # after the task itself
                span = get_current_span()
                scope = getattr(span, "instrumentation_scope", None)
                if scope is not None and scope.name == "openinference.instrumentation.crewai" and agent is not None:
                    span.set_attribute(_semconv.GEN_AI_AGENT_NAME, agent.role)
            except Exception as failure:
                _guard.failed("recording an agent of a framework", failure)
            return execute(*args, **kwargs)

        return execute_named

    _replace(Task, "_execute_core", named)
    _wrap(Crew, "akickoff", lambda args, _: _workflow(args[0].name or "crew"))
    _wrap(Task, "_aexecute_core", task)
    _wrap(BaseAgentTool, "_execute", coworker)


def _autogen() -> None:
    """Teams, arguments and results of tools, and streams whose consumer leaves.

    AutoGen's spans of agents are kept. Its spans of tools have no arguments, so clew's take their place; those of
    `create_agent` (a constructor, which would be a trace of its own) and of the messages between the agents of a team
    (a dozen for each turn, named with random ids) are turned off.
    """
    from autogen_agentchat.agents import _base_chat_agent
    from autogen_agentchat.teams import BaseGroupChat
    from autogen_core.tools import _base as tools

    os.environ.setdefault("AUTOGEN_DISABLE_RUNTIME_TRACING", "true")
    tools.trace_tool_span = _no_span
    _base_chat_agent.trace_create_agent_span = _no_span

    def tool(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
        call_id = args[3] if len(args) > 3 else kwargs.get("call_id")  # self, args, token, id
        return _execution(args[0].name, _Json, args, kwargs, call_id)

    _wrap(tools.BaseTool, "run_json", tool)
    _wrap(tools.BaseStreamTool, "run_json_stream", tool)
    _wrap(BaseGroupChat, "run_stream", lambda args, _: _workflow(args[0].name))
    # In a context of its own: AutoGen makes its span current across the steps of the generator.
    _wrap(_base_chat_agent.BaseChatAgent, "run_stream", lambda *_: _Nothing(""))


def _mcp() -> None:
    """Arguments and results of tools, on both sides."""
    from clew._instrument import mcp_calls

    mcp_calls.fill()


class _Inputs:
    """Arguments of a tool of smolagents."""

    @staticmethod
    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        tool, *given = args
        if len(given) == 1 and isinstance(given[0], dict):  # as the model gave them
            return given[0]
        named = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
        return dict(zip(tool.inputs, given, strict=False)) | named


class _Json:
    """Arguments of a tool of AutoGen: a mapping."""

    @staticmethod
    def named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        return dict(args[1] if len(args) > 1 else kwargs["args"])


class _Invocation(Scope):
    """Of an agent, or of several that work together."""

    __slots__ = ("_operation", "_who", "_whose")
    doing = "recording an agent of a framework"

    def __init__(self, operation: str, whose: str, who: str) -> None:
        super().__init__(f"{operation} {who}")
        self._operation = operation
        self._whose = whose
        self._who = who

    def attributes(self) -> Attributes:
        return {_semconv.GEN_AI_OPERATION_NAME: self._operation, self._whose: self._who}


class _Nothing(Scope):
    """No span."""

    __slots__ = ()

    def _open(self) -> None:
        pass


def _wrap(owner: type, method: str, scope: Callable[[tuple[Any, ...], dict[str, Any]], Scope]) -> None:
    def safe(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
        try:
            return scope(args, kwargs)
        except Exception as error:  # another version of the framework may keep its names elsewhere
            _guard.failed(f"recording {owner.__name__}.{method}", error)
            return _Nothing("")

    function = getattr(owner, method, None)
    if function is not None:
        setattr(owner, method, traced(function, safe))


def _replace(owner: Any, name: str, make: Callable[[_Function], _Function]) -> None:
    """Puts what `make` makes of a function in its place."""
    function = getattr(owner, name, None)
    if function is not None:
        setattr(owner, name, wraps(function)(make(function)))


def _workflow(name: str) -> Scope:
    return _Invocation("invoke_workflow", "gen_ai.workflow.name", name)


def _execution(
    name: str, parameters: Parameters, args: tuple[Any, ...], kwargs: dict[str, Any], call_id: str | None = None
) -> Scope:
    attributes = {
        _semconv.GEN_AI_OPERATION_NAME: "execute_tool",
        _semconv.GEN_AI_TOOL_NAME: name,
        _semconv.GEN_AI_TOOL_TYPE: "function",
    }
    if call_id:
        attributes["gen_ai.tool.call.id"] = call_id
    return Execution(f"execute_tool {name}", attributes, parameters, args, kwargs)


def _no_span(*_: object, **__: object) -> nullcontext[None]:
    return nullcontext()


FILL: dict[str, Callable[[], None]] = {
    "autogen-agentchat": _autogen,
    "mcp": _mcp,
    "opentelemetry-instrumentation-genai-openai-agents": _openai_agents,
    "openinference-instrumentation-crewai": _crewai,
    "opentelemetry-instrumentation-genai-smolagents": _smolagents,
}
"""Distribution that records a framework -> what fills its gaps."""
