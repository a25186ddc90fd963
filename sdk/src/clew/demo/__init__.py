"""`clew demo`: real agents against a scripted model server, recorded, priced and checked by hand.

`run_demo` is the whole of it. The pieces are of use by themselves: `clew.demo.model_server.ModelServer` plays
any script to any official client, and `clew.demo.agents` are agents to learn from.
"""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["missing_packages", "run_demo"]

# What the demo uses beyond the `clew` distribution itself: module -> distribution.
_NEEDS = {
    "anthropic": "anthropic",
    "clew_processor": "clew-processor",
    "langchain_openai": "langchain-openai",
    "langgraph": "langgraph",
    "openai": "openai",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
}


def missing_packages() -> list[str]:
    """Distributions the demo needs and that are not installed; `pip install 'clew[demo]'` brings them all."""
    return [distribution for module, distribution in _NEEDS.items() if find_spec(module) is None]


def run_demo(*, once: bool = False, as_json: bool = False) -> int:
    """Starts a processor, runs the demo's agents, and shows what is on record of them.

    Everything is real but the models: see `clew.demo.agents`. The data is kept in `.clew/demo` below the
    current directory until the next demo.

    Args:
        once: Stop the processor after the summary instead of serving until Ctrl-C.
        as_json: Print the summary as one JSON object; progress goes to stderr.

    Returns:
        The exit code: 0 when everything on record equals the hand calculation, else 1.
    """
    # Here and not above, so that `import clew.demo.agents` does not need the web server.
    from clew.demo.run import Demo

    return Demo(once=once, as_json=as_json).main()
