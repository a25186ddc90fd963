"""The six runs of the demo, as data: what the models answer, and what must be on record afterwards.

Token counts, tool calls and failures are the script of the model server; the other fields are what the agents
in `clew.demo.agents` are known to do with it. Costs are not written here: `clew.demo.expected` works them out
from the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from clew.demo.script import Failure, Reply, Script, Tokens, ToolCall


@dataclass(frozen=True)
class Scenario:
    """One run: its script and what must be on record afterwards.

    Attributes:
        agent: Name of the agent and of its script.
        about: A few words on what the run shows.
        script: The models' answers, in order.
        outcome: The outcome the agent gives itself.
        tool_runs: How often tools were really executed, failed attempts included and denied calls not.
        gates: Decisions of gates, and how many of them were denials.
        gates_denied: Denials among them.
        repetitions: How often the looping call was made, by the last replies of the script; 0 where nothing loops.
    """

    agent: str
    about: str
    script: Script
    outcome: str
    tool_runs: int
    gates: int = 0
    gates_denied: int = 0
    repetitions: int = 0


TRAVEL_PLANNER = Scenario(
    agent="travel-planner",
    about="healthy: OpenAI, a plain tool loop, the prompt cache, streaming",
    script=(
        Reply(
            Tokens(input=1_187, output=52),
            calls=(
                ToolCall("search_flights", '{"origin": "Vienna", "destination": "Lisbon", "month": "May"}'),
                ToolCall("get_weather", '{"city": "Lisbon", "month": "May"}'),
            ),
            seconds=0.3,
        ),
        Reply(
            Tokens(input=1_391, output=27, cache_read=1_152),
            calls=(ToolCall("find_hotel", '{"city": "Lisbon", "nights": 3, "max_price": 120}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=1_506, output=118, cache_read=1_280),
            text=(
                "Fly from Vienna with TAP on 12 May for 168 euros, stay three nights at the Casa do Jardim "
                "in Graça for 109 a night. May is dry and about 23 degrees, so walk: Alfama the first day, "
                "Belém on the second, Sintra by train on the third. With meals that is about 760 euros."
            ),
            seconds=0.6,
        ),
    ),
    outcome="success",
    tool_runs=3,
)

SUPPORT_DESK = Scenario(
    agent="support-desk",
    about="healthy: LangGraph, a reasoning model",
    script=(
        Reply(
            Tokens(input=874, output=231, reasoning=192),
            calls=(ToolCall("look_up_order", '{"order_id": "A-1042"}'),),
            seconds=0.4,
        ),
        Reply(
            Tokens(input=1_203, output=307, reasoning=256),
            calls=(ToolCall("search_help_pages", '{"query": "change delivery address after dispatch"}'),),
            seconds=0.4,
        ),
        Reply(
            Tokens(input=1_688, output=412, cache_read=1_152, reasoning=320),
            text=(
                "Your order A-1042 left the warehouse this morning, so we cannot change its address. You can "
                "redirect it to a pick-up point in the carrier's app until 18:00 today, free of charge."
            ),
            seconds=0.5,
        ),
    ),
    outcome="success",
    tool_runs=2,
)

REFUND_DESK = Scenario(
    agent="refund-desk",
    about="denied gate: Anthropic, a policy stops a refund",
    script=(
        Reply(
            Tokens(input=2_214, output=71, cache_write=1_920),
            text="I will look at both payments first.",
            calls=(
                ToolCall("look_up_payment", '{"payment_id": "pay_311"}'),
                ToolCall("look_up_payment", '{"payment_id": "pay_312"}'),
            ),
            seconds=0.4,
        ),
        Reply(
            Tokens(input=2_467, output=103, cache_read=1_920, cache_write=253),
            calls=(
                ToolCall("issue_refund", '{"payment_id": "pay_311", "amount": 35.0}'),
                ToolCall("issue_refund", '{"payment_id": "pay_312", "amount": 1890.0}'),
            ),
            seconds=0.4,
        ),
        Reply(
            Tokens(input=2_744, output=96, cache_read=2_173, cache_write=277),
            text=(
                "The 35 euros for payment pay_311 are on their way. The refund of 1890 euros for pay_312 is "
                "above what I may decide alone, so I have passed it to a colleague who answers within a day."
            ),
            seconds=0.6,
        ),
    ),
    outcome="partial",
    tool_runs=3,
    gates=2,
    gates_denied=1,
)

SHIPMENT_TRACKER = Scenario(
    agent="shipment-tracker",
    about="loop: the same call again and again until the step limit",
    script=(
        Reply(
            Tokens(input=655, output=24),
            calls=(ToolCall("find_order", '{"customer": "Ines Duarte"}'),),
            seconds=0.2,
        ),
        # One call in six spellings: models vary the order of keys and the spaces, the call stays the same.
        Reply(
            Tokens(input=741, output=31),
            calls=(ToolCall("track_shipment", '{"order_id": "A-2077", "carrier": "DHL"}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=838, output=31),
            calls=(ToolCall("track_shipment", '{"order_id": "A-2077", "carrier": "DHL"}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=935, output=31),
            calls=(ToolCall("track_shipment", '{"carrier": "DHL", "order_id": "A-2077"}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=1_032, output=29),
            calls=(ToolCall("track_shipment", '{"order_id":"A-2077","carrier":"DHL"}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=1_127, output=33, cache_read=1_024),
            calls=(ToolCall("track_shipment", '{\n  "carrier": "DHL",\n  "order_id": "A-2077"\n}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=1_226, output=31, cache_read=1_024),
            calls=(ToolCall("track_shipment", '{"order_id": "A-2077", "carrier": "DHL"}'),),
            seconds=0.2,
        ),
    ),
    outcome="failure",
    tool_runs=7,
    repetitions=6,
)

INVOICE_BOT = Scenario(
    agent="invoice-bot",
    about="failures: a tool that fails and is tried again, a 429, a 500",
    script=(
        Failure(429, "Rate limit reached for requests. Please try again in 200ms.", retry_after=0.2),
        Reply(
            Tokens(input=702, output=26),
            calls=(ToolCall("fetch_invoices", '{"customer": "Acme", "limit": 500}'),),
            seconds=0.2,
        ),
        Reply(
            Tokens(input=811, output=26),
            calls=(ToolCall("fetch_invoices", '{"customer": "Acme", "limit": 50}'),),
            seconds=0.2,
        ),
        Failure(500, "The server had an error while processing your request."),
        # The agent falls back to another model for the same question.
        Reply(
            Tokens(input=1_344, output=389, reasoning=320),
            text="Acme has two open invoices, 2026-117 and 2026-131, of 4,310.50 euros; one is overdue.",
            seconds=0.4,
        ),
    ),
    outcome="success",
    tool_runs=3,
)

MARKET_RESEARCHER = Scenario(
    agent="market-researcher",
    about="budget stop: the agent ends itself before it overspends",
    script=(
        Reply(
            Tokens(input=1_411, output=683, reasoning=576),
            calls=(ToolCall("search_web", '{"query": "heat pump sales Europe 2026"}'),),
            seconds=0.3,
        ),
        Reply(
            Tokens(input=2_905, output=842, cache_read=1_280, reasoning=704),
            calls=(ToolCall("search_web", '{"query": "heat pump subsidies Germany France Italy"}'),),
            seconds=0.3,
        ),
        Reply(
            Tokens(input=4_377, output=1_015, cache_read=2_816, reasoning=896),
            calls=(ToolCall("search_web", '{"query": "heat pump manufacturers market share"}'),),
            seconds=0.3,
        ),
        Reply(
            Tokens(input=5_890, output=1_128, cache_read=4_352, reasoning=960),
            calls=(ToolCall("search_web", '{"query": "heat pump installer shortage"}'),),
            seconds=0.3,
        ),
    ),
    outcome="partial",
    tool_runs=4,
    gates=5,
    gates_denied=1,
)

SCENARIOS: tuple[Scenario, ...] = (
    TRAVEL_PLANNER,
    SUPPORT_DESK,
    REFUND_DESK,
    SHIPMENT_TRACKER,
    INVOICE_BOT,
    MARKET_RESEARCHER,
)
