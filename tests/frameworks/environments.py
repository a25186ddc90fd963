"""The environments in which the libraries run: each a virtual environment with locked versions and this checkout's SDK.

`python -m frameworks.environments` from `tests/` makes those that are missing; `--lock [NAME ...]` resolves versions
anew and writes `requirements/`. They stand under `CLEW_FRAMEWORK_ENVS` (default `~/.cache/clew-frameworks`), named by
what they hold: other requirements, another environment.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SDK = HERE.parents[1] / "sdk"
FOLDER = Path(os.environ.get("CLEW_FRAMEWORK_ENVS", Path.home() / ".cache" / "clew-frameworks"))
#: The environment that runs the tests: what is in requirements.lock needs no other.
DEV = "dev"
_PYTHON = "3.11"


def table() -> dict[str, Any]:
    """`libraries.toml`."""
    return tomllib.loads((HERE / "libraries.toml").read_text("utf-8"))


def python_of(name: str) -> Path:
    """The interpreter of an environment, made where it is not there yet.

    Raises:
        RuntimeError: It cannot be made; with what the installer said.
    """
    if name == DEV:
        return Path(sys.executable)
    requirements = _requirements(name)
    if not requirements.exists():
        raise RuntimeError(f"{requirements} is missing: python -m frameworks.environments --lock {name}, in tests/")
    # An editable install knows its checkout, so each checkout has environments of its own.
    held = hashlib.sha256(f"{SDK}\n{requirements.read_text('utf-8')}".encode()).hexdigest()[:12]
    folder = FOLDER / f"{name}-{held}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if whole.exists():
        return python
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes ask at the same time
        if not whole.exists():
            _uv("venv", "--allow-existing", "-p", _PYTHON, folder)
            _uv("pip", "install", "--compile-bytecode", "-p", python, "-r", requirements)
            _uv("pip", "install", "-p", python, "--no-deps", "-e", SDK)
            whole.touch()
    return python


def lock(name: str, row: dict[str, Any]) -> None:
    """Writes the newest versions that go together: the SDK with the row's extras, and what else the row requires."""
    wanted = "\n".join([f"clew[{','.join(row.get('extras', []))}] @ {SDK.as_uri()}", *row.get("requirements", [])])
    said = ["pip", "compile", "--universal", "--python-version", _PYTHON, "--no-emit-index-url", "--no-annotate"]
    said += ["--no-header", "--no-emit-package", "clew", "--prerelease", "if-necessary-or-explicit", "-"]
    done = _uv(*said, text=wanted)
    _requirements(name).parent.mkdir(exist_ok=True)
    _requirements(name).write_text(done, "utf-8")


def _requirements(name: str) -> Path:
    return HERE / "requirements" / f"{name}.txt"


def _uv(*arguments: object, text: str | None = None) -> str:
    uv = Path(sys.executable).parent / "uv"
    said = [str(argument) for argument in arguments]
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run([str(uv), "-q", *said], input=text, capture_output=True, text=True, env=environ)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(said)} failed: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m frameworks.environments", description=__doc__)
    parser.add_argument("names", nargs="*", help="which; all unless told")
    parser.add_argument("--lock", action="store_true", help="resolve versions anew first")
    chosen = parser.parse_args()
    environments = table().get("env", {})
    for name in chosen.names or environments:
        if chosen.lock:
            lock(name, environments[name])
        print(name, python_of(name), flush=True)


if __name__ == "__main__":
    main()
