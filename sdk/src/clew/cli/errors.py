"""What can go wrong in a command, as the person at the terminal sees it.

CliError
├── EndpointDown    nothing answers at the query address
└── QueryError      the store refused or failed a query
"""

from __future__ import annotations


class CliError(Exception):
    """A message for the terminal instead of a traceback.

    Attributes:
        exit_code: what the process exits with.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class EndpointDown(CliError):  # noqa: N818 - it names the state of the endpoint
    """Nothing answers at the query address."""


class QueryError(CliError):
    """The store answered a query with an error; the message is the store's own."""
