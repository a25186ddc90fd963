"""The demo from its first line to its last: processor, model server, agents, summary."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clew.demo import missing_packages
from clew.demo.environment import clean_environment
from clew.demo.errors import DemoError
from clew.demo.expected import Expected, expected_run
from clew.demo.model_server import ModelServer
from clew.demo.place import DemoPlace
from clew.demo.processor import Ports, Processor, free_ports, tail
from clew.demo.record import SERVICE_NAME, Recorded, differences, recorded_runs
from clew.demo.report import Pen, next_steps, show_check, show_next, show_runs
from clew.demo.scenarios import SCENARIOS

if TYPE_CHECKING:
    from types import FrameType

# Acknowledged spans are in the store, and verdicts on runs follow within moments; this is for slow machines.
_SETTLE_SECONDS = 30.0
_AGENT_SECONDS = 120.0


class Demo:
    """One demo; see `clew.demo.run_demo` for what the arguments mean."""

    def __init__(
        self,
        *,
        once: bool,
        as_json: bool,
        directory: Path = Path(".clew/demo"),
        default_ports: Ports | None = None,
    ) -> None:
        self._once = once
        self._as_json = as_json
        self._directory = directory
        self._default_ports = default_ports or Ports()
        self._pen = Pen(sys.stderr if as_json else sys.stdout)

    def main(self) -> int:
        """Runs the demo; returns the exit code."""
        if threading.current_thread() is threading.main_thread():
            # `kill` ends the demo as Ctrl-C does: the processor is stopped properly.
            signal.signal(signal.SIGTERM, _interrupt)
        try:
            return self._in_its_place()
        except DemoError as error:
            Pen(sys.stderr).bad(f"clew demo: {error}")
            return 1
        except KeyboardInterrupt:
            return 130  # 128 and the number of SIGINT, as shells have it

    def _in_its_place(self) -> int:
        if missing := missing_packages():
            raise DemoError(f"these packages are missing: {', '.join(missing)}. Run: pip install 'clew[demo]'")
        place = DemoPlace(self._directory)
        try:
            if place.emptied:
                self._pen.quiet(f"Emptied {place.directory}, the data of the last demo.")
            ports = free_ports(self._default_ports)
            if ports != self._default_ports:
                self._pen.quiet(f"The default ports are taken; using {ports.grpc}, {ports.http}, {ports.query}.")
            processor = Processor(place, ports)
            try:
                return self._with_processor(place, processor)
            finally:
                processor.stop()
        finally:
            place.close()

    def _with_processor(self, place: DemoPlace, processor: Processor) -> int:
        processor.wait_until_ready()
        self._pen.line(f"Processor ready: OTLP at {processor.otlp_endpoint}, data in {place.data}")
        with ModelServer({scenario.agent: scenario.script for scenario in SCENARIOS}) as models:
            self._run_agents(place, processor, models)
            expected = [expected_run(scenario, models.served) for scenario in SCENARIOS]
        runs, different = _settled(expected, processor.query_address)
        serving = not (self._once or different)
        looping = next((run for run in runs if run.loops), None)
        steps = next_steps(looping, processor.ports, place.data, serving=serving)
        self._pen.line()
        show_runs(self._pen, runs)
        self._pen.line()
        show_check(self._pen, runs, different)
        self._pen.line()
        show_next(self._pen, steps)
        if self._as_json:
            _print_json(runs, different, processor, steps)
        if serving:
            self._serve(processor, place)
        return 1 if different else 0

    def _run_agents(self, place: DemoPlace, processor: Processor, models: ModelServer) -> None:
        """Runs the agents in a process of their own, as a user's agent would be, and says how each ended."""
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=processor.otlp_endpoint,
            OTEL_SERVICE_NAME=SERVICE_NAME,
            LANGSMITH_TRACING="false",
        )
        self._pen.line(f"Running {len(SCENARIOS)} agents against a scripted model server ...")
        about = {scenario.agent: scenario.about for scenario in SCENARIOS}
        with place.agents_log.open("wb") as log:
            agents = subprocess.Popen(
                [sys.executable, "-m", "clew.demo.agents", models.url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        watchdog = threading.Timer(_AGENT_SECONDS, agents.kill)
        watchdog.start()
        try:
            assert agents.stdout is not None
            for line in agents.stdout:
                ended = json.loads(line)
                self._pen.quiet(f"  {ended['agent']:<17} {ended.get('error') or about[ended['agent']]}")
            code = agents.wait()
        finally:
            watchdog.cancel()
            agents.kill()
            agents.wait()
        if code != 0:
            raise DemoError(f"the agents ended with exit code {code}.\n{tail(place.agents_log)}")

    def _serve(self, processor: Processor, place: DemoPlace) -> None:
        self._pen.line()
        self._pen.line("Serving until Ctrl-C.")
        try:
            code = processor.wait()
        except KeyboardInterrupt:
            self._pen.line("Stopping; the processor drains ...")
            return
        raise DemoError(f"the processor ended by itself with exit code {code}.\n{tail(place.processor_log)}")


def _settled(expected: list[Expected], query_address: str) -> tuple[list[Recorded], list[str]]:
    """The record once it equals what is expected, or as it stands when waiting any longer makes no sense."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        runs = recorded_runs(query_address)
        different = differences(expected, runs)
        if not different or time.monotonic() > deadline:
            return runs, different
        time.sleep(0.2)


def _print_json(runs: list[Recorded], different: list[str], processor: Processor, steps: list[tuple[str, str]]) -> None:
    summary: dict[str, Any] = {
        "runs": [asdict(run) for run in runs],
        "equals_hand_calculation": not different,
        "differences": different,
        "otlp_endpoint": processor.otlp_endpoint,
        "query_address": processor.query_address,
        "next": [{"purpose": purpose, "command": command} for purpose, command in steps],
    }
    # Costs, the only values JSON does not know, as text: a number would be read back as a float.
    sys.stdout.write(json.dumps(summary, indent=2, default="{:.9f}".format) + "\n")
    sys.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
