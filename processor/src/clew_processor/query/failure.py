"""Failures as ClickHouse words them: a number, a name, a text, and the HTTP status that goes with them."""

from __future__ import annotations

import re

#: HTTP status of an error code; every other code is 500. The grouping follows the server: what the client can mend
#: is 4xx, what it may try again is 503, the rest is 500. A limit that was hit stays 500, so that no client retries it.
_STATUS = {
    36: 400, 38: 400, 41: 400, 42: 400, 43: 400, 46: 404, 47: 404, 48: 501, 53: 400, 60: 404, 62: 400, 63: 404,
    70: 400, 72: 400, 73: 404, 81: 404, 115: 404, 159: 408, 164: 403, 168: 400, 202: 503, 210: 503, 223: 413, 306: 400,
    386: 400, 394: 499, 452: 403, 456: 400, 457: 400, 497: 403,
}  # fmt: skip

_FIRST_CODE = re.compile(r"Code: (\d+)\. DB::\w*Exception: ")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")
#: What the engine puts behind the text, once per level of nesting.
_TRAILER = re.compile(r"(?:\s*\.?\s*\((?:version [^()]*(?:\([^()]*\))?|[A-Z][A-Z0-9_]+)\)\.?)+\s*$")


class QueryFailure(Exception):  # noqa: N818 - it is the answer to the client, not a fault of ours
    """A query that gets an error for an answer.

    Attributes:
        code: ClickHouse's error number.
        name: its symbolic name, as in ``UNKNOWN_TABLE``.
        text: what happened, without number and name.
    """

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code = code
        self.name = name
        self.text = text

    @classmethod
    def from_engine(cls, error: Exception) -> QueryFailure:
        """Read the number, name and text out of what the embedded engine raised.

        Text of the engine nests the same message in itself and repeats number, name and version on every level; one
        level is kept. What does not look like an engine error becomes code 1002, ``UNKNOWN_EXCEPTION``.
        """
        message = str(error)
        codes = list(_FIRST_CODE.finditer(message))
        if not codes:
            return cls(1002, "UNKNOWN_EXCEPTION", message.strip() or type(error).__name__)
        code = int(codes[0][1])
        start = codes[0].end()
        for inner in codes[1:]:
            if inner.start() != start:
                break
            start = inner.end()
        names = _NAME.findall(message)
        text = _TRAILER.sub("", message[start:]).strip()
        return cls(code, names[-1] if names else "UNKNOWN_EXCEPTION", text)

    @property
    def status(self) -> int:
        """The HTTP status this failure is sent with."""
        return _STATUS.get(self.code, 500)

    def body(self, version: str) -> bytes:
        """The text as a server of this version sends it, in UTF-8 with a line end."""
        full_stop = "" if self.text.endswith(".") else "."
        line = f"Code: {self.code}. DB::Exception: {self.text}{full_stop} ({self.name})"
        return f"{line} (version {version})\n".encode()


def access_denied(text: str) -> QueryFailure:
    """Something this endpoint does not let through whoever asks."""
    return QueryFailure(497, "ACCESS_DENIED", text)


def read_only(text: str) -> QueryFailure:
    """A statement or a setting that would change something."""
    return QueryFailure(164, "READONLY", text)


def writes() -> QueryFailure:
    """A statement that does not read."""
    return read_only("Cannot execute query in readonly mode. The query endpoint only reads")


def bad_arguments(text: str) -> QueryFailure:
    """A request that makes no sense."""
    return QueryFailure(36, "BAD_ARGUMENTS", text)


def too_large(text: str) -> QueryFailure:
    """More text than a query may have."""
    return QueryFailure(223, "QUERY_IS_TOO_LARGE", text)


def not_implemented(text: str) -> QueryFailure:
    """A part of ClickHouse's HTTP interface that is not served here."""
    return QueryFailure(48, "NOT_IMPLEMENTED", text)
