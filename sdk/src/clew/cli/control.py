"""What the processor is asked to do, at its HTTP address, with the standard library alone."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from clew.cli.errors import CliError


def order(address: str, path: str, what: dict[str, Any], *, timeout_s: float) -> bytes:
    """Asks the processor to do something.

    Args:
        address: HOST:PORT, or an ``http(s)://`` address.
        path: of the order.
        what: sent as JSON.
        timeout_s: for the answer.

    Returns:
        What it answers.

    Raises:
        CliError: it is no address, nothing answers there, or the processor refuses.
    """
    url = address if "://" in address else f"http://{address}"
    if not url.startswith(("http://", "https://")):
        raise CliError(f"{address!r} is no address: write HOST:PORT, such as 127.0.0.1:4318", exit_code=2)
    request = Request(  # noqa: S310 - checked above
        f"{url.rstrip('/')}{path}", data=json.dumps(what).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=timeout_s) as answer:
            content: bytes = answer.read()
    except HTTPError as error:
        told = error.read().decode(errors="replace").strip() or f"HTTP {error.code}"
        raise CliError(f"the processor at {url} does not take it: {told}") from error
    except (URLError, OSError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        raise CliError(
            f"no clew processor answers at {url} ({why}).\nName its HTTP address with --http HOST:PORT or CLEW_HTTP."
        ) from error
    return content
