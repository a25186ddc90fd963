"""clew: a flight recorder for AI agents.

`import clew.auto` records every model call of the libraries it knows; the names below add what only the agent knows:
which agent runs, its tools, its steps, the gates it passes, and what came of the task.
"""

from clew._instrument.instrumentations import Instrumentation, instrumentations
from clew._propagate.propagation import baggage, environment, headers, joined
from clew._setup import flush, init
from clew._spans.agent import agent
from clew._spans.gate import Gate, gate
from clew._spans.outcome import outcome
from clew._spans.step import Step, step
from clew._spans.tool import tool
from clew._version import __version__
from clew.errors import ClewError, SettingError

__all__ = [
    "ClewError",
    "Gate",
    "Instrumentation",
    "SettingError",
    "Step",
    "__version__",
    "agent",
    "baggage",
    "environment",
    "flush",
    "gate",
    "headers",
    "init",
    "instrumentations",
    "joined",
    "outcome",
    "step",
    "tool",
]
