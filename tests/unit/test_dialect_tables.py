"""Tables of dialects: what may stand in them, and what somebody is told who writes something else."""

from __future__ import annotations

import json

import pytest
import yaml

from clew_processor.decode.plan import compiled, extraction_plan
from clew_processor.dialects import CLEW, GENERIC, canon, common, dialect, dialects, ordered
from clew_processor.errors import DialectError

GOOD = {
    "name": "mine",
    "order": 5,
    "source": "a test",
    "detect": [{"attribute": "mine.kind"}],
    "op": [{"key": "mine.kind", "values": {"LLM": "chat"}}],
    "op_otherwise": "other",
    "columns": {"input_tokens": ["mine.input", {"key": "mine.usage", "path": ["input", 0]}]},
    "contents": {"input_messages": [{"key": "mine.messages", "form": "messages", "role": "user"}]},
    "values": {"finish_reason": {"done": "stop"}},
    "tokens": [{"cache": "apart", "provider": "anthropic"}],
    "sentinels": ["<none>"],
}


def table(**changes: object) -> str:
    return yaml.safe_dump({key: value for key, value in (GOOD | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"detects": []}, "unknown key 'detects': did you mean 'detect'?"),
        ({"detect": []}, "detect: List should have at least 1 item"),
        ({"detect": [{"atribute": "k"}]}, "detect.0: unknown key 'atribute': did you mean 'attribute'?"),
        ({"detect": [{"attribute": "k", "scope": "s"}]}, "a test asks for one thing"),
        ({"detect": [{"scope": "s", "is": "v"}]}, "is or starts belongs to attribute or resource"),
        ({"columns": {"input_token": ["k"]}}, "columns: unknown column 'input_token': did you mean 'input_tokens'?"),
        ({"columns": {"provider": [{"kee": "k"}]}}, "columns.provider.0: unknown key 'kee': did you mean 'key'?"),
        ({"columns": {"input_tokens": [{"ops": ["chat"]}]}}, "a source needs key, resource, from, parts or is"),
        ({"columns": {"provider": [{"key": "k", "from": "name"}]}}, "a source is one of key, resource, from and parts"),
        ({"columns": {"provider": [{"key": "k", "ops": ["chats"]}]}}, "'chats' is no operation: did you mean 'chat'?"),
        ({"columns": {"input_tokens": [{"key": "k", "form": "text"}]}}, "form, role and parts belong to contents"),
        ({"columns": {"provider": [{"key": "k", "scale": 2}]}}, "scale, as and nonzero belong to columns of numbers"),
        ({"columns": {"tool_call_id": [{"from": "name"}]}}, "what many rows share is not for it"),
        ({"contents": {"input_message": [{"key": "k"}]}}, "unknown content 'input_message': did you mean 'input"),
        ({"contents": {"args_hash": [{"key": "k", "form": "indexed"}]}}, "form is 'indexed', expected value"),
        ({"contents": {"input_messages": [{"form": "parts"}]}}, "a source needs key"),
        ({"op": [{"key": "k", "values": {"L": "chatt"}}]}, "op.0.values: 'chatt' is no operation: did you mean"),
        ({"op_otherwise": "nothing"}, "op_otherwise: 'nothing' is no operation"),
        ({"op": [{"values": {}}]}, "an operation's source needs key, from or is"),
        ({"values": {"input_tokens": {"a": "b"}}}, "values: 'input_tokens' is no column of words"),
        ({"tokens": [{"cash": "apart"}]}, "tokens.0: unknown key 'cash': did you mean 'cache'?"),
        ({"name": "other"}, "name is 'other', expected that of its file"),
        ({"source": None}, "source: Field required"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_was_meant(changes: dict[str, object], complaint: str):
    with pytest.raises(DialectError) as error:
        dialect("mine", table(**changes))
    assert complaint in str(error.value)
    assert str(error.value).startswith("mine.yaml")


def test_a_file_that_is_not_yaml_is_told():
    with pytest.raises(DialectError, match=r"mine\.yaml is not YAML"):
        dialect("mine", "a: [")


def test_two_dialects_of_one_order_are_told():
    with pytest.raises(DialectError, match="mine and other have the same order 5"):
        ordered([dialect("mine", table()), dialect("other", table(name="other"))])


def test_own_attributes_come_first_then_the_dialects_then_the_conventions():
    mine = dialect("mine", table(columns={"provider": ["mine.provider"], "cost_usd": ["mine.cost"]}))
    plan = compiled(ordered([*dialects(), mine]), canon(), common())
    (made,) = (each for each in plan["dialects"] if each["name"] == "mine")
    assert [source["key"] for source in made["columns"]["cost_usd"]] == ["clew.cost.usd", "mine.cost"]
    provider = [source["key"] for source in made["columns"]["provider"]]
    assert provider == ["mine.provider", "gen_ai.provider.name", "gen_ai.system", "gen_ai.system"]
    assert [source.get("key") for source in made["op"]][:2] == ["mine.kind", "clew.op"]
    assert made["op"][0]["values"]["LLM"] == made["op"][0]["values"]["chat"] == "chat"
    assert made["op"][-1]["key"] == "gen_ai.operation.name"


def test_a_dialect_can_do_without_the_conventions_wholly_or_for_a_column():
    alone = dialect("mine", table(generic=False))
    without = dialect("other", table(name="other", order=6, columns={"provider": []}))
    plan = compiled(ordered([*dialects(), alone, without]), canon(), common())
    by_name = {each["name"]: each for each in plan["dialects"]}
    assert "provider" not in by_name["mine"]["columns"]
    assert [source["key"] for source in by_name["mine"]["op"]] == [
        "mine.kind",
        "clew.op",
        "clew.gate.name",
        "clew.step.kind",
    ]
    assert "provider" not in by_name["other"]["columns"]
    assert "request_model" in by_name["other"]["columns"]


def test_all_tables_are_compiled_in_the_order_they_are_asked_for():
    plan = json.loads(extraction_plan(content_refresh_s=1, max_span_bytes=1000))
    names = [each["name"] for each in plan["dialects"]]
    assert names == [table.name for table in dialects()]
    assert {CLEW, *GENERIC} <= set(names)
    assert names.index(GENERIC[0]) < names.index(GENERIC[1]) < names.index(CLEW)
    assert plan["max_span_bytes"] == 1000


def test_words_in_common_are_of_columns_that_hold_words():
    assert all(canon().columns[column].type == "dict" for column in common().values)
