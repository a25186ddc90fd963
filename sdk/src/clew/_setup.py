"""`clew.init` and `clew.flush`: the door to the machinery, which is imported only when it is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def init(
    service: str | None = None,
    *,
    endpoint: str | None = None,
    content: str | Mapping[str, str] | None = None,
    redact: Iterable[str] | Mapping[str, str] | None = None,
) -> None:
    """Sets clew up: provider, exporter, instrumentations, and flushing when the process ends.

    A tracer provider that is configured already is kept and gets a second destination; otherwise one is configured.
    Calling it again changes nothing. With `OTEL_SDK_DISABLED=true` it does nothing.

    Args:
        service: The `service.name`. Default: `OTEL_SERVICE_NAME`, `CLEW_SERVICE`, the script's name.
        endpoint: URL of the OTLP receiver. Default: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
            `OTEL_EXPORTER_OTLP_ENDPOINT`, `CLEW_ENDPOINT`, `http://127.0.0.1:4317`.
        content: What leaves the process of what users, models and tools say: `full` (redacted; the default), `hashed`,
            `metadata` or `off`; by class as `metadata,tools=full` or `{"all": "metadata", "tools": "full"}`, with the
            classes messages, system, tools, documents, notes and exceptions. Default: `CLEW_CONTENT`.
        redact: Regular expressions of what is replaced in every text beside the secrets that clew knows; as a mapping,
            by the name that stands in its place. Default: the lines of `CLEW_REDACT`, which hold beside these.

    Raises:
        SettingError: `content` or `redact` is not allowed. Nothing else is raised: what goes wrong is logged.
    """
    from clew import _runtime

    _runtime.start(service, endpoint, content, redact)


def flush(timeout_s: float = 5.0) -> bool:
    """Sends what has been recorded so far.

    Args:
        timeout_s: How long to wait at most, in seconds.

    Returns:
        Whether everything that had ended by then was delivered; also True where clew is not set up.
    """
    from clew import _runtime

    return _runtime.flush(timeout_s)
