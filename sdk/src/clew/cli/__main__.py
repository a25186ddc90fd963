"""`python -m clew.cli`: the same as `clew`."""

from __future__ import annotations

from clew.cli import main

main()
