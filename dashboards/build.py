"""Write the boards to `json/`, or with `--check` say whether what is committed there is what this code makes.

Usage:
    python dashboards/build.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import cost
import latency
import loops

OUT = Path(__file__).parent / "json"

BOARDS = {cost.UID: cost.board, latency.UID: latency.board, loops.UID: loops.board}


def rendered() -> dict[Path, str]:
    """Return file -> its JSON text for every board."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return {OUT / f"{uid}.json": encoder.encode(board()) + "\n" for uid, board in BOARDS.items()}


def drift(files: dict[Path, str]) -> list[str]:
    """Return the names of files that are missing, differ from `files`, or belong to no board."""
    stale = [path.name for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    return stale + [path.name for path in OUT.glob("*.json") if path not in files]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 1 if `--check` found drift, else 0."""
    parser = argparse.ArgumentParser(description="Write the Grafana boards, or check the committed ones.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a committed board is stale")
    args = parser.parse_args(argv)
    files = rendered()
    if args.check:
        stale = drift(files)
        if stale:
            print(
                f"dashboards/json differs from what the code makes: {', '.join(sorted(stale))}. "
                "Run `python dashboards/build.py` and commit the result; remove files of no board.",
                file=sys.stderr,
            )
        return 1 if stale else 0
    OUT.mkdir(exist_ok=True)
    for path, text in files.items():
        path.write_text(text, "utf-8")
        print(f"wrote {path.relative_to(OUT.parent.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
