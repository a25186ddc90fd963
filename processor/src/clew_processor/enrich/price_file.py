"""Prices of one's own in YAML, and the factors of service tiers that come with clew in the same form.

Everything is checked when the file is read: a price that is not what was meant would go unnoticed for long.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

MAX_PRICE: Final = 1_000_000
"""Dollars a million tokens, a thousand times of what any model costs."""
MAX_FEE: Final = 1_000
"""Dollars a request."""
MAX_TOKENS: Final = 10**9
MAX_FACTOR: Final = 1_000
MAX_FILE_BYTES: Final = 4 * 1024 * 1024

KINDS: Final = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "cache_read_audio",
    "output",
    "reasoning",
    "output_audio",
)
"""What a million tokens may have a price for; besides, there is a fee a `request`."""


class PriceFileError(ValueError):
    """The file says something that cannot be meant. The message names the key, the value and what is allowed."""


Price = Annotated[Decimal, Field(ge=0, le=MAX_PRICE)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kinds(_Section):
    """Dollars a million tokens. What has no price of its own costs what it is a part of."""

    input: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = None
    input_audio: Price | None = None
    cache_read_audio: Price | None = None
    output: Price | None = None
    reasoning: Price | None = None
    output_audio: Price | None = None
    request: Annotated[Decimal, Field(ge=0, le=MAX_FEE)] | None = None

    @property
    def given(self) -> dict[str, Decimal]:
        """The kinds that have a price, and the fee."""
        return {name: price for name in (*KINDS, "request") if (price := getattr(self, name)) is not None}


class Above(Kinds):
    """Prices of a prompt with more tokens than this."""

    prompt_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)]


class Tier(Kinds):
    """What a service tier costs: the standard price times a factor, or prices of its own."""

    factor: Annotated[Decimal, Field(ge=0, le=MAX_FACTOR)] | None = None
    undiscounted: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if unknown := sorted(set(self.undiscounted) - {*KINDS, "request"}):
            raise ValueError(f"undiscounted: {unknown[0]!r} is no kind of token; known: {', '.join(KINDS)}, request")
        if self.factor is None and not self.given:
            raise ValueError("expected a factor, or prices of its own")
        return self

    def factor_of(self, kind: str) -> Fraction:
        """What the standard price of a kind is multiplied by where it has no price of its own here."""
        return Fraction(1) if self.factor is None or kind in self.undiscounted else Fraction(self.factor)


def _factor(said: Any) -> Any:
    """A number alone is a factor."""
    return {"factor": said} if isinstance(said, int | float | str) and not isinstance(said, bool) else said


Tiers = dict[str, Annotated[Tier, BeforeValidator(_factor)]]


class Period(Kinds):
    """Prices from a day on."""

    start: date | None = Field(None, alias="from")
    above: tuple[Above, ...] = ()
    service_tiers: Tiers = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_prices(self) -> Self:
        if self.input is None and self.output is None:
            raise ValueError("expected a price for input or output")
        return self


def _periods(said: Any) -> Any:
    """One period needs no list."""
    return [said] if isinstance(said, dict) else said


class Entry(_Section):
    """What the file says of the models it names."""

    provider: str = "*"
    model: str
    prices: Annotated[tuple[Period, ...], BeforeValidator(_periods)] = ()
    service_tiers: Tiers = Field(default_factory=dict)
    context_window: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    source: str = ""
    checked: date | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.prices or self.service_tiers or self.context_window):
            raise ValueError("expected prices, service_tiers or context_window")
        starts = [period.start for period in self.prices]
        if len(set(starts)) < len(starts):
            raise ValueError("prices: two of them start on the same day")
        if self.prices and self.service_tiers:
            raise ValueError("service_tiers: with prices of one's own they belong into the prices")
        return self

    def names(self, providers: frozenset[str], model: str) -> bool:
        """Does it speak of this model?

        Args:
            providers: the names its provider has, in lower case.
            model: in lower case.
        """
        return (self.provider == "*" or self.provider.lower() in providers) and _matches(self.model.lower(), model)

    def period(self, day: date) -> Period | None:
        """The prices in force on a day."""
        begun = [period for period in self.prices if period.start is None or period.start <= day]
        return max(begun, key=lambda period: period.start or date.min, default=None)


class PriceFile(_Section):
    """The whole file; of entries that name the same model the first counts."""

    models: tuple[Entry, ...]

    def entry(self, providers: frozenset[str], model: str, *, having: str) -> Entry | None:
        """The first entry that speaks of this model and says something of that kind.

        Args:
            providers: the names its provider has, in lower case.
            model: its name.
            having: field of `Entry` that must be filled.
        """
        name = model.lower()
        return next((entry for entry in self.models if getattr(entry, having) and entry.names(providers, name)), None)


EMPTY: Final = PriceFile(models=())


def parsed(text: str) -> PriceFile:
    """A file's content.

    Args:
        text: YAML; empty is a file without entries.

    Raises:
        PriceFileError: it is not what a file of prices looks like.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PriceFileError(f"not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise PriceFileError("not a list of prices: nested too deep") from error
    if content is None:
        return EMPTY
    if not isinstance(content, dict):
        raise PriceFileError(f"holds {type(content).__name__}, expected the key models with a list of entries")
    try:
        return PriceFile.model_validate(content)
    except ValidationError as error:
        raise PriceFileError("; ".join(_explained(problem, content) for problem in error.errors())) from error


def _explained(problem: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    path: tuple[int | str, ...] = problem["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    whose = _model_at(content, path)
    where = f"{key} (model {whose!r})" if whose else key or "the file"
    if problem["type"] == "extra_forbidden":
        known = _known_at(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{where}: unknown key {str(path[-1])!r}: {hint}"
    if problem["type"] == "missing":
        return f"{where}: is missing"
    said = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    shown = f"{value!r} is wrong: " if not isinstance(value, dict | list | tuple) else ""
    return f"{where}: {shown}{said}"


def _model_at(content: Mapping[str, Any], path: tuple[int | str, ...]) -> str:
    if len(path) < 2 or path[0] != "models" or not isinstance(path[1], int):
        return ""
    try:
        return str(content["models"][path[1]]["model"])
    except (KeyError, TypeError, IndexError):
        return ""


def _known_at(path: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at a place."""
    names = [part for part in path if isinstance(part, str)]
    section: type[_Section] = PriceFile
    for place, name in enumerate(names):
        if name == "models":
            section = Entry
        elif name == "prices":
            section = Period
        elif name == "above":
            section = Above
        elif name == "service_tiers" and place + 1 < len(names):
            section = Tier
    return [field.alias or name for name, field in section.model_fields.items()]


def _matches(pattern: str, text: str) -> bool:
    """Does the text fit a pattern in which `*` stands for any text?"""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
