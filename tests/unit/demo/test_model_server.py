"""The scripted model server as the official, unmodified clients see it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest

from clew.demo.model_server import ModelServer
from clew.demo.script import Failure, Reply, Tokens, ToolCall

SPACED = '{"b":  2,\n "a": "x y z"}'
REPLY = Reply(
    Tokens(input=100, output=30, cache_read=40, cache_write=10, reasoning=20),
    text="Several words, one after the other.",
    calls=(ToolCall("look", SPACED), ToolCall("listen", "{}")),
)
MESSAGES = [{"role": "user", "content": "hello"}]


def openai_client(server: ModelServer, run: str = "run", **options) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.openai_base_url(run), api_key="any", **options)


def anthropic_client(server: ModelServer, run: str = "run") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=server.anthropic_base_url(run), api_key="any")


def chat(client: openai.OpenAI, **options):
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **options)


def test_chat_completion_carries_text_calls_and_usage():
    with ModelServer({"run": (REPLY,)}, pace=0) as server:
        answer = chat(openai_client(server))
    message, usage = answer.choices[0].message, answer.usage
    assert message.content == REPLY.text
    assert [(c.function.name, c.function.arguments) for c in message.tool_calls] == [
        ("look", SPACED),
        ("listen", "{}"),
    ]
    assert (usage.prompt_tokens, usage.completion_tokens) == (100, 30)
    assert usage.prompt_tokens_details.cached_tokens == 40
    assert usage.completion_tokens_details.reasoning_tokens == 20
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.model == "gpt-4o-mini-2024-07-18"


def test_streamed_chat_completion_adds_up_to_the_same_answer():
    with (
        ModelServer({"run": (REPLY,)}, pace=0) as server,
        openai_client(server).chat.completions.stream(
            model="gpt-4o-mini", messages=MESSAGES, stream_options={"include_usage": True}
        ) as stream,
    ):
        answer = stream.get_final_completion()
    message = answer.choices[0].message
    assert message.content == REPLY.text
    assert [call.function.arguments for call in message.tool_calls] == [SPACED, "{}"]
    assert answer.usage.prompt_tokens_details.cached_tokens == 40


def test_stream_has_usage_only_when_asked_for_and_the_ledger_knows():
    with ModelServer({"run": (REPLY, REPLY)}, pace=0) as server:
        client = openai_client(server)
        silent = [chunk.usage for chunk in chat(client, stream=True)]
        asked = [chunk.usage for chunk in chat(client, stream=True, stream_options={"include_usage": True})]
        served = server.served
    assert set(silent) == {None}
    assert asked[-1].total_tokens == 130
    assert [(line.stream, line.usage_sent) for line in served] == [(True, False), (True, True)]


def test_response_carries_text_calls_and_usage():
    with ModelServer({"run": (REPLY,)}, pace=0) as server:
        answer = openai_client(server).responses.create(model="o4-mini", input="hello")
    calls = [item for item in answer.output if item.type == "function_call"]
    assert answer.output_text == REPLY.text
    assert [(call.name, call.arguments) for call in calls] == [("look", SPACED), ("listen", "{}")]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (100, 30)
    assert answer.usage.input_tokens_details.cached_tokens == 40
    assert answer.usage.output_tokens_details.reasoning_tokens == 20


def test_streamed_response_adds_up_to_the_same_answer():
    with (
        ModelServer({"run": (REPLY,)}, pace=0) as server,
        openai_client(server).responses.stream(model="o4-mini", input="hello") as stream,
    ):
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        answer = stream.get_final_response()
    assert text == answer.output_text == REPLY.text
    assert [item.arguments for item in answer.output if item.type == "function_call"] == [SPACED, "{}"]
    assert answer.usage.total_tokens == 130


@pytest.mark.parametrize("streamed", [False, True])
def test_anthropic_message_counts_cache_beside_input(streamed):
    request = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": MESSAGES}
    with ModelServer({"run": (REPLY,)}, pace=0) as server:
        client = anthropic_client(server)
        if streamed:
            with client.messages.stream(**request) as stream:
                answer = stream.get_final_message()
        else:
            answer = client.messages.create(**request)
    text, look, listen = answer.content
    assert text.text == REPLY.text
    assert (look.name, look.input, listen.input) == ("look", json.loads(SPACED), {})
    assert answer.stop_reason == "tool_use"
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (50, 30)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (40, 10)
    assert usage.cache_creation.ephemeral_5m_input_tokens == 10
    assert usage.cache_creation.ephemeral_1h_input_tokens == 0


def test_client_retries_a_429_by_itself_and_the_ledger_has_both():
    limit = Failure(429, "slow down", retry_after=0.01)
    with ModelServer({"run": (limit, REPLY)}, pace=0) as server:
        assert chat(openai_client(server)).choices[0].message.content == REPLY.text
        served = server.served
    assert [line.answer for line in served] == [limit, REPLY]
    assert [bool(line.response_id) for line in served] == [False, True]


@pytest.mark.parametrize("status", [429, 500])
def test_failure_without_retry_reaches_the_agent_at_once(status):
    with ModelServer({"run": (Failure(status, "no luck"),)}, pace=0) as server:
        with pytest.raises(openai.APIStatusError, match="no luck") as caught:
            chat(openai_client(server, max_retries=5))
        assert caught.value.status_code == status
        assert len(server.served) == 1


def test_anthropic_error_has_the_apis_own_shape():
    with (
        ModelServer({"run": (Failure(429, "slow down"),)}, pace=0) as server,
        pytest.raises(anthropic.RateLimitError) as caught,
    ):
        anthropic_client(server).messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=MESSAGES)
    assert caught.value.body == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
    }


def test_asking_for_more_than_the_script_says_so():
    with ModelServer({"run": ()}, pace=0) as server:
        with pytest.raises(openai.BadRequestError, match=r"'run' has only 0 answers"):
            chat(openai_client(server))
        with pytest.raises(openai.NotFoundError, match=r"no script named 'other'; there are \['run'\]"):
            chat(openai_client(server, "other"))


def test_runs_at_the_same_time_each_get_their_own_script():
    scripts = {f"run{n}": tuple(Reply(Tokens(n, step), text=f"{n}.{step}") for step in range(1, 6)) for n in range(8)}
    with ModelServer(scripts, pace=0) as server:

        def play(run: str) -> list[str]:
            with openai_client(server, run) as client:
                return [chat(client).choices[0].message.content for _ in range(5)]

        with ThreadPoolExecutor(len(scripts)) as pool:
            heard = dict(zip(scripts, pool.map(play, scripts), strict=True))
        ids = [line.response_id for line in server.served]
        left = server.unserved()
    assert heard == {run: [reply.text for reply in script] for run, script in scripts.items()}
    assert len(set(ids)) == len(ids) == 40
    assert left == {}


def test_unserved_names_runs_that_were_not_played_to_the_end():
    with ModelServer({"run": (REPLY, REPLY), "idle": (REPLY,)}, pace=0) as server:
        chat(openai_client(server))
        assert server.unserved() == {"run": 1, "idle": 1}


def test_without_pace_a_slow_reply_comes_at_once():
    with ModelServer({"run": (Reply(Tokens(1, 1), text="late", seconds=3600),)}, pace=0) as server:
        assert chat(openai_client(server, timeout=30)).choices[0].message.content == "late"
