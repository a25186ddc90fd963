"""The environment of the demo's processes: the user's, without what would make the demo another one."""

from __future__ import annotations

import os

# Settings that would send the demo's data elsewhere, change what is recorded, or reach for a real account.
_FOREIGN = ("ANTHROPIC_", "CLEW_", "LANGCHAIN_", "LANGSMITH_", "OPENAI_", "OTEL_")
_LOCAL = "127.0.0.1,localhost"


def clean_environment(**added: str) -> dict[str, str]:
    """A copy of this process's environment for a process of the demo, with `added` on top.

    Proxies stay set for whoever needs them, but not for local addresses.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return kept | {"NO_PROXY": _LOCAL, "no_proxy": _LOCAL} | added
