"""What senders say, as the words that all readers know."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from clew_processor.dialects.schema import Dialect, Values
    from clew_processor.words import Words


_REMEMBERED = 1024
"""Most providers' names whose canonical one is remembered."""


class ValueTables:
    """Value tables of columns: a dialect's own first, then the common one, then the value as it came."""

    def __init__(self, dialects: Sequence[Dialect], common: Values) -> None:
        self._common = {column: _lookup(_folded(values)) for column, values in common.values.items()}
        self._own: dict[str, dict[str, Callable[[str], str]]] = {}
        for table in dialects:
            for column, values in table.values.items():
                known = _folded(common.values.get(column, {}) | values)
                self._own.setdefault(column, {})[table.name] = _lookup(known)

    def apply(self, column: str, said: Words, spoken: Mapping[str, NDArray[np.bool_]]) -> Words:
        """The column's words by their canonical names; "" for what the tables call nothing.

        Args:
            column: its name.
            said: what the spans say.
            spoken: the rows of each dialect of the batch.
        """
        if not any(said.words):
            return said
        common = self._common.get(column)
        mapped = said.map(common) if common else said
        for name, own in self._own.get(column, {}).items():
            if name in spoken:
                mapped = mapped.overlaid(said.map(own), spoken[name])
        return mapped


def spoken_by(dialect: Words) -> dict[str, NDArray[np.bool_]]:
    """The rows of each dialect that some have."""
    counts = np.bincount(dialect.codes, minlength=len(dialect.words))
    return {name: dialect.codes == code for code, name in enumerate(dialect.words) if name and counts[code]}


def first_of(listed: str) -> str:
    """The first of several words that came as one, with commas or as JSON."""
    return listed.lstrip("[ ").partition(",")[0].rstrip("] ").strip('"')


def _folded(values: Mapping[str, str]) -> dict[str, str]:
    """Spellings without case beside the exact ones."""
    return {said.casefold(): word for said, word in values.items()} | dict(values)


def _lookup(values: Mapping[str, str]) -> Callable[[str], str]:
    def look_up(word: str) -> str:
        return values[word] if word in values else values.get(word.casefold(), word)

    return look_up


class Named:
    """A table of names, of which one that ends in * stands for all that begin so. The longest counts."""

    def __init__(self, table: Mapping[str, str], *, fold: bool = False) -> None:
        self._fold = fold
        known = {(name.casefold() if fold else name): word for name, word in table.items()}
        self._exact = {name: word for name, word in known.items() if not name.endswith("*")}
        starts = [(name.removesuffix("*"), word) for name, word in known.items() if name.endswith("*")]
        self._starts = sorted(starts, key=lambda start: -len(start[0]))

    def get(self, name: str, default: str = "") -> str:
        """The name's word, else `default`."""
        name = name.casefold() if self._fold else name
        if name in self._exact:
            return self._exact[name]
        return next((word for start, word in self._starts if name.startswith(start)), default)

    def __contains__(self, name: str) -> bool:
        return self.get(name, "\0") != "\0"


class Providers:
    """Providers and frameworks told apart, and told from other facts where senders do not say."""

    def __init__(self, common: Values) -> None:
        spelled = {name: name for name in common.providers}
        spelled |= {alias: name for name, aliases in common.providers.items() for alias in aliases}
        self._names = Named(spelled, fold=True)
        self._frameworks = Named(common.not_providers, fold=True)
        self._addresses = common.provider_addresses
        self._models = sorted(common.provider_models.items(), key=lambda model: -len(model[0]))
        self.name = lru_cache(_REMEMBERED)(self._name)

    def _name(self, said: str) -> str:
        return "" if said in self._frameworks else self._names.get(said, said)

    def framework(self, said: str) -> str:
        """The framework that stands where a provider should."""
        return self._frameworks.get(said)

    def at(self, address: str) -> str:
        """The provider that answers at this address."""
        host = address.casefold().rstrip(".")
        return next((name for end, name in self._addresses.items() if host == end or host.endswith(f".{end}")), "")

    def of_model(self, model: str) -> str:
        """The provider whose models are called so; a model may be written `provider/model`."""
        vendor, _, tail = model.casefold().rpartition("/")
        if (named := self._names.get(vendor.partition("/")[0])) and vendor:
            return named
        return next((name for start, name in self._models if tail.startswith(start)), "")
