"""Runs the six agents at the same time: `python -m clew.demo.agents URL_OF_THE_MODEL_SERVER`.

Prints a JSON line for each run as it ends: `{"agent": ..., "result": ...}`, or `"error"` where a result
should be.
"""

from __future__ import annotations

# The one import that records everything below it.
import clew.auto  # isort: skip  # noqa: F401

import json
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from clew.demo.agents import (
    invoice_bot,
    market_researcher,
    refund_desk,
    shipment_tracker,
    support_desk,
    travel_planner,
)

AGENTS = {
    "travel-planner": travel_planner.run,
    "support-desk": support_desk.run,
    "refund-desk": refund_desk.run,
    "shipment-tracker": shipment_tracker.run,
    "invoice-bot": invoice_bot.run,
    "market-researcher": market_researcher.run,
}


def main(server: str) -> int:
    """Runs every agent against the model server; returns 0 when all came to an end, else 1."""
    with ThreadPoolExecutor(max_workers=len(AGENTS)) as pool:
        runs: dict[Future[str], str] = {pool.submit(run, server): agent for agent, run in AGENTS.items()}
        failed = 0
        for done in as_completed(runs):
            error = done.exception()
            failed += error is not None
            ending = {"result": done.result()} if error is None else {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps({"agent": runs[done]} | ending) + "\n")
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
