"""`import clew.auto` where ten libraries and more are installed, and none is used."""

from __future__ import annotations

import json
import subprocess

import pytest

from frameworks.environments import python_of

ASK = """
import json, sys, time
import clew.auto, clew
with clew.step("act"):
    pass
libraries = clew.instrumentations()
from clew._instrument.catalogue import LIBRARIES
roots = {module.partition(".")[0] if not module.startswith("google.") else module
         for library in LIBRARIES for module in library.modules}
print(json.dumps([
    [found.library for found in libraries], [found.library for found in libraries if found.enabled],
    sorted(roots & set(sys.modules)),
]))
"""


@pytest.mark.frameworks
def test_ten_libraries_that_are_not_used_are_not_imported():
    """The environment of `clew[all]`, each library with what records it."""
    asked = [python_of("all"), "-c", ASK]
    environ = {"OTEL_TRACES_EXPORTER": "none", "PATH": ""}
    done = subprocess.run(asked, env=environ, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    installed, enabled, imported = json.loads(done.stdout)
    assert len(installed) >= 14
    assert len(enabled) >= 10
    assert imported == []
