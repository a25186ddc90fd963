"""Memory is flat over many spans; the form over a million is `python bench/sdk_leak.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[3] / "bench" / "sdk_leak.py"


def test_nothing_is_kept_of_spans_however_they_end():
    # A span is some 3 kB: one in ten of the later ones would be seen.
    command = [sys.executable, BENCH, "--warm", "5000", "--spans", "20000", "--most", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 dropped" in done.stdout
    assert ", 0 waiting" in done.stdout
