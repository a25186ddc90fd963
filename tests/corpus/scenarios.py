"""What the scripted model server says in each scenario, by provider, and what a token costs at list."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from clew.demo.script import Failure, Reply, Tokens, ToolCall

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A prompt that holds one of these belongs to that run; runs that go on at the same time have scripts of their own.
RUN_MARK = re.compile(r"\(traveller \d\)")

#: Stands for "whatever the offered tool for handing over is called"; the server looks it up in the request.
HANDOVER = "handover"

EMBEDDED_TOKENS = 211

#: Decisions that a scenario holds.
GATES = {
    "S13": [{"tool": "", "outcome": "allow", "kind": "guardrail"}],
    "S14": [{"tool": "get_weather", "outcome": "allow", "kind": "approval"}],
    "S15": [{"tool": "get_weather", "outcome": "deny", "kind": "approval"}],
}

#: US dollars per million tokens: input, cache read, cache write, output. The providers' public lists.
PRICES = {
    "gpt-4o-mini": ("0.15", "0.075", "0.15", "0.60"),
    "o4-mini": ("1.10", "0.275", "1.10", "4.40"),
    # Bedrock's regional endpoints cost a tenth more than the global ones.
    "us.anthropic.claude-sonnet-4-5": ("3.30", "0.33", "4.125", "16.50"),
    "claude-sonnet-4-5": ("3", "0.30", "3.75", "15"),
    "gemini-2.5-flash": ("0.30", "0.03", "0.30", "2.50"),
    "text-embedding-3-small": ("0.02", "0.02", "0.02", "0"),
}


def cost(model: str, tokens: Tokens) -> Decimal | None:
    """US dollars at list price, exact; None for a model the list does not have."""
    name = next((name for name in PRICES if name in model), None)
    if name is None:
        return None
    fresh, read, write, out = map(Decimal, PRICES[name])
    uncached = tokens.input - tokens.cache_read - tokens.cache_write
    parts = (uncached * fresh, tokens.cache_read * read, tokens.cache_write * write, tokens.output * out)
    return sum(parts, Decimal(0)) / 1_000_000


def weather(city: str) -> ToolCall:
    return ToolCall("get_weather", f'{{"city": "{city}"}}')


def _loop(counts: Sequence[tuple[int, int]], cities: Sequence[str], answer: str) -> list[Reply]:
    asked = [Reply(Tokens(*count), calls=(weather(city),)) for count, city in zip(counts, cities, strict=False)]
    return [*asked, Reply(Tokens(*counts[-1]), text=answer)]


_WARM = "Paris is warmer: 21 degrees, against 17 in Berlin."
_SEVEN = Failure(500, "The server had an error while processing your request.")


def script(scenario: str, provider: str, run: str = "") -> list[Reply | Failure]:
    """Answers of one run in order.

    Args:
        scenario: `S1` ... `S12`, `C1`.
        provider: `openai`, `anthropic`, `gemini` or `bedrock`: Anthropic counts what was written to the cache and no
            reasoning; Gemini and OpenAI the other way round.
        run: The mark of a run among several, or "".
    """
    writes = provider in ("anthropic", "bedrock")
    # In threes of calls, one number for each run: no count occurs twice.
    nth = int(run[-2]) if run else 0

    def tokens(count: tuple[int, int], read: int, other: int) -> Tokens:
        return Tokens(*count, read, other if writes else 0, 0 if writes else other)

    if scenario == "S1":
        return [Reply(Tokens(1481, 73), text="It is 21 degrees in Paris, with a light wind from the west.")]
    if scenario == "S2":
        return [Reply(Tokens(1553, 83), text="In Paris it is 21 degrees and sunny. Tomorrow will be a little cooler.")]
    if scenario == "S3":
        return [
            Reply(Tokens(1619, 89), text="Berlin has 17 degrees and some clouds, and it stays dry until the evening.")
        ]
    if scenario == "S4":
        return list(_loop([(907, 43), (1019, 47), (1151, 59)], ["Paris", "Berlin"], _WARM))
    if scenario == "S5":
        return [Reply(tokens((2749, 521), 1792, 384), text="Take the train: it needs eight hours and is cheaper.")]
    if scenario == "S6":
        limited = Failure(429, "Rate limit reached for requests. Please try again.", retry_after=0.02)
        return [limited, Reply(Tokens(1283, 67), text="After a moment: it is 21 degrees in Paris.")]
    if scenario == "S7":
        return [_SEVEN] * 8
    if scenario == "S8":
        counts = [(701, 23), (797, 23), (887, 23), (983, 23), (1087, 23), (1181, 79)]
        return list(_loop(counts, ["Paris"] * 5, "The weather service keeps saying the same: 21 degrees in Paris."))
    if scenario == "S9":
        handed = Reply(Tokens(823, 31), calls=(ToolCall(HANDOVER, "{}"),))
        closing = Reply(Tokens(1049, 53), text="The expert says: 21 degrees in Paris.")
        return [handed, Reply(Tokens(937, 71), text="As the expert: it is 21 degrees in Paris."), closing]
    if scenario == "S10":
        base = 1200 + 300 * nth
        city = ["Paris", "Berlin", "Oslo", "Rome"][nth]
        return list(_loop([(base + 7, 41 + nth), (base + 131, 61 + nth)], [city], f"{city}: mild and dry."))
    if scenario == "S11":
        return [Reply(Tokens(1093, 61), text="According to the guide the museum opens at nine.")]
    if scenario == "S12":
        return list(_loop([(911, 37), (1033, 101)], ["Atlantis"], "There is no weather station in that place."))
    if scenario == "S13":
        return [Reply(Tokens(1187, 67), text="Paris has 21 degrees, and nothing speaks against a trip.")]
    if scenario == "S14":
        return list(_loop([(941, 39), (1063, 71)], ["Paris"], "Allowed: it is 21 degrees in Paris."))
    if scenario == "S15":
        return list(_loop([(953, 41), (1039, 57)], ["Paris"], "I was not allowed to look up the weather."))
    if scenario == "C1":
        counts = [((2203, 311), 1024, 192), ((2621, 283), 2048, 128), ((2917, 401), 2560, 256)]
        calls = [(weather("Paris"),), (weather("Berlin"),), ()]
        return [
            Reply(tokens(*count), text="" if asked else _WARM, calls=asked)
            for count, asked in zip(counts, calls, strict=True)
        ]
    raise ValueError(f"no scenario {scenario!r}")
