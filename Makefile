# clew: `make demo` shows it, `make test` proves it. Needs Python >= 3.11, make and a Rust toolchain.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
KERNEL := $(shell find processor/kernel/src -name '*.rs') processor/kernel/Cargo.toml processor/kernel/Cargo.lock processor/kernel/pyproject.toml
# cargo may be installed and not on the PATH of a non-login shell
export PATH := $(PATH):$(HOME)/.cargo/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-frameworks lint fmt bench corpus lock dashboards clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: $(VENV)/.installed $(VENV)/.kernel ## .venv with everything, kernel built

$(VENV)/.installed: requirements.lock pyproject.toml sdk/pyproject.toml processor/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clew needs Python >= 3.11, $(PYTHON) is $$($(PYTHON) -V 2>&1): install it, then make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e sdk -e processor
	@touch $@

$(VENV)/.kernel: $(KERNEL) $(VENV)/.installed
	@command -v cargo >/dev/null || { echo "clew's kernel is Rust and no toolchain was found: get one from https://rustup.rs (or your package manager: cargo), then run make again."; exit 1; }
	$(BIN)/maturin develop --quiet --release --uv --locked -m processor/kernel/Cargo.toml
	@touch $@

demo: install ## a real agent against a scripted model server; ARGS=--once ends after the summary
	@$(BIN)/clew demo $(ARGS)

test: install ## the whole test suite
	cargo test --quiet --locked --manifest-path processor/kernel/Cargo.toml
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-frameworks: install ## every supported library in an environment of its own, from a package registry; ARGS="-k crewai" for a part
	$(BIN)/pytest -n 2 tests/frameworks -m "" $(ARGS)

lint: install ## formatting, style, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cargo fmt --check --manifest-path processor/kernel/Cargo.toml
	cargo clippy --quiet --locked --all-targets --features python --manifest-path processor/kernel/Cargo.toml -- -D warnings

fmt: install ## format everything
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	cargo fmt --manifest-path processor/kernel/Cargo.toml

bench: install ## CPU per span beside yardsticks; ARGS=--quick for a short run
	$(BIN)/python bench/run.py $(ARGS)

corpus: install ## record the payload corpus anew, from a package registry; ARGS="ROW SCENARIO" for a part
	@cd tests && ../$(BIN)/python -m corpus.record $(ARGS)

dashboards: install ## regenerate the committed JSON
	$(BIN)/python dashboards/build.py

# Of the SDK's extras those that the tests run by default; the others have locks of their own in tests/frameworks/requirements.
LOCKED_EXTRAS := openai anthropic langchain demo
lock: ## requirements.lock anew from the pyproject files
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header --group dev pyproject.toml sdk/pyproject.toml processor/pyproject.toml $(LOCKED_EXTRAS:%=--extra %) \
	  --no-emit-package clew --no-emit-package clew-processor --no-emit-package clew-kernel -o requirements.lock --quiet

clean: ## remove .venv and build results
	rm -rf $(VENV) processor/kernel/target
