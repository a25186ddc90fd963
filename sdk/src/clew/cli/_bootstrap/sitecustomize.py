"""Found first on the path of every Python that `clew run` starts: turns instrumentation on, then makes way.

Python imports one module of this name at start-up. If the program's environment has one of its own, it runs too, as
if this one were not here.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def _instrument() -> None:
    try:
        import clew.auto  # noqa: F401
    except Exception as error:  # the program must run whatever is wrong with its telemetry
        print(
            f"clew: {sys.executable} runs without instrumentation: {error!r}; "
            "if clew is missing there: pip install clew",
            file=sys.stderr,
        )


def _chain() -> None:
    others = [entry for entry in sys.path if Path(entry).resolve() != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_instrument()
_chain()
