"""What the programs here share beside the conversation of `corpus/record/programs/harness.py`: picking by case.

A program is a user's: it imports `clew.auto` first, and knows nothing else of telemetry. It defines some of `one`,
`streamed`, `left` (a consumer that leaves a stream after its first piece), `helped`, `loop`, `handover`, plain
functions of a prompt, and the same as async functions with `_async` after the name; then calls `main(globals())`,
which picks one by scenario and mode and ends as any program ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import harness

MODE = os.environ.get("FRAMEWORKS_MODE", "").split()
"""Of `async`, `left`, `helped`, `streamed` and `agent`; see the README."""


def as_tool(function):
    """The function as a tool of clew's own, where the case asks for an agent of clew's own."""
    if "agent" not in MODE:
        return function
    import clew

    return clew.tool(name="get_weather")(function)


@as_tool
def look_up(city: str) -> str:
    """For loops written by hand: the error's text is what the model gets."""
    return harness.weather_or_error(city)


def main(program: dict) -> None:
    """Runs the case with the program's function for it; exits with 3 where the program has none."""
    name = next((mode for mode in ("left", "helped", "streamed") if mode in MODE), harness.KIND[harness.SCENARIO])
    function = program.get(f"{name}_async" if "async" in MODE else name)
    if function is None:
        sys.exit(3)
    if "agent" in MODE:
        import clew

        function = clew.agent(name="travel_assistant")(function)
    prompts = [harness.PROMPT]
    if harness.SCENARIO == "S10":
        prompts = [f"{harness.PROMPT} (traveller {number})" for number in range(3)]
    try:
        answers = asyncio.run(_together(function, prompts)) if "async" in MODE else _in_threads(function, prompts)
    except Exception as error:
        if harness.SCENARIO != "S7":
            raise
        print(f"failed: {type(error).__name__}")
    else:
        print("\n".join(f"answer: {answer}" for answer in answers))
    finish()


def finish() -> None:
    """A loaded machine may need longer than the end of a process waits."""
    import clew

    clew.flush(60)


async def _together(function, prompts):
    return await asyncio.gather(*(function(prompt) for prompt in prompts))


def _in_threads(function, prompts):
    if len(prompts) == 1:
        return [function(prompts[0])]
    with ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(function, prompts))
