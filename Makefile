# Everything that a fresh machine needs, from a Rust toolchain and Python >= 3.11.
#
#   make demo    build, install, then an agent that is killed and resumes
#   make test    what must pass before a commit
#   make help    the rest
#
# Variables: PYTHON (default python3), VENV (default .venv), CARGO_TARGET_DIR (default target).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
RUST_VERSION_MIN := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
DEMO_STATE := .taquba-demo

export CARGO_TARGET_DIR ?= $(CURDIR)/target
# The same settings for cargo and for maturin: PyO3's build scripts run again whenever one of these
# (or PYO3_CONFIG_FILE, see `clippy`) changes, and everything above them is then compiled again.
export PYO3_PYTHON := $(abspath $(VENV))/bin/python
export PYO3_BUILD_EXTENSION_MODULE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Warnings of pip about running as root say nothing about this project.
export PIP_ROOT_USER_ACTION := ignore

BIN := $(VENV)/bin
TOOLS := $(VENV)/.tools
INSTALLED := $(VENV)/.wheel-installed
OTHER_PYTHONS ?= python3.12 python3.13 python3.14 \
	$(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[2-9]*/bin/python)
SOURCES := $(shell find rust python -type f \( -name '*.rs' -o -name '*.toml' -o -name '*.py' \
	-o -name '*.pyi' -o -name 'py.typed' \)) Cargo.toml Cargo.lock pyproject.toml

.PHONY: help
help: ## Show the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | column -t -s "$$(printf '\t')"

.PHONY: demo
demo: $(INSTALLED) ## Run the two-stage agent, kill it in step 0 and after it, resume it, show the report.
	@rm -rf $(DEMO_STATE)
	$(BIN)/python examples/crash_and_resume.py --state $(DEMO_STATE)

.PHONY: test
test: lint rust-test simulate instructions clippy types pytest other-pythons ## Rust and Python tests, lints, types, documents, examples.
	@echo "make test: everything passed"

.PHONY: rust-test
rust-test: toolchain $(TOOLS) ## The engine's own tests.
	@cargo test --release --locked --workspace

.PHONY: simulator
simulator: toolchain
	@cargo build --release --locked --package taquba-sim

# The same seeds each time, so that a change is judged by what it changes; other seeds come by night.
.PHONY: simulate
simulate: simulator $(TOOLS) ## Simulated lives of the engine, hostile stores, and planted bugs that must be found.
	@"$$CARGO_TARGET_DIR/release/taquba-sim" lane-a --seeds 0..1000
	"$$CARGO_TARGET_DIR/release/taquba-sim" lane-b --seeds 0..24
	"$$CARGO_TARGET_DIR/release/taquba-sim" hostile --seeds 0..200
	$(BIN)/python -m tests.planted

.PHONY: reliability
reliability: simulator $(INSTALLED) ## Every lane of RELIABILITY.md at full size, HOURS=1.5 on two cores; records the counters.
	@$(BIN)/python -m tests.reliability --record $(if $(HOURS),--hours $(HOURS))

# Counts, not times, so it holds on a busy machine too. Without valgrind it says so and goes on, or
# fails where CI=true.
.PHONY: instructions
instructions: toolchain $(TOOLS) ## Instructions and allocations of each operation, against what is held.
	@$(BIN)/python benches/instructions.py

.PHONY: lint
lint: toolchain $(TOOLS) ## Formatting of both languages, lints of the Python code.
	@cargo fmt --all --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: clippy
clippy: $(INSTALLED) ## Lints of the Rust code, with the settings that the wheel was built with.
	@config="$$(ls -t "$$CARGO_TARGET_DIR"/maturin/pyo3-config-*.txt 2>/dev/null | head -n1)"
	[ -z "$$config" ] || export PYO3_CONFIG_FILE="$$config"
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

.PHONY: types
types: $(INSTALLED) ## mypy --strict, and the stubs against the compiled module.
	@$(BIN)/mypy --strict python/taquba examples benches tests docs
	$(BIN)/stubtest taquba._taquba

# The tests start these servers and never download anything; what cannot be had here is named, and
# its tests are skipped, or fail where CI=true.
.PHONY: servers
servers: $(TOOLS) ## Object-store servers for the tests, kept in the user's cache.
	@$(BIN)/python -m tests.conformance.installs

.PHONY: pytest
pytest: $(INSTALLED) servers simulator ## Python tests; README, docs and examples are executed among them.
	@$(BIN)/python -m pytest tests $(PYTEST_ARGS)

.PHONY: docs
docs: $(TOOLS) ## The documentation as a site in site/, warnings as errors. The tests build it too.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Newer versions start tasks in another way, so what asyncio promises is tested on each that is here.
.PHONY: other-pythons
other-pythons: $(INSTALLED) ## The bridge and workflow tests on every other Python that is installed.
	@for python in $(OTHER_PYTHONS); do
		version="$$("$$python" -c 'import platform; print(platform.python_version())' 2>/dev/null)" || continue
		home="$(VENV)/pythons/$$version"
		if [ -e "$$home/.tested" ] && [ "$$home/.tested" -nt $(INSTALLED) ] \
			&& [ -z "$$(find tests -name '*.py' -newer "$$home/.tested")" ]; then
			continue
		fi
		echo "== Python $$version"
		[ -x "$$home/bin/python" ] || "$$python" -m venv "$$home"
		grep -E '^(anyio|msgspec|pytest|pytest-asyncio|pytest-timeout|sniffio)==' tests/requirements-dev.txt \
			| "$$home/bin/python" -m pip install --quiet --requirement /dev/stdin
		"$$home/bin/python" -m pip install --quiet --force-reinstall --no-deps dist/*.whl
		"$$home/bin/python" -m pytest -q tests/bridge tests/workflow
		touch "$$home/.tested"
	done

.PHONY: bench
bench: $(INSTALLED) ## All benchmarks, small: a look, not an entry for RESULTS.md.
	@$(BIN)/python -m taquba.bench --quick
	$(BIN)/python benches/waiting_jobs.py --jobs 50000 --window 10000
	$(BIN)/python benches/pass_through.py --jobs 200000 --window 50000
	$(BIN)/python benches/scheduled_runs.py --runs 20000
	$(BIN)/python benches/operating.py --rounds 2 --seconds 2

.PHONY: bench-night
bench-night: $(INSTALLED) ## All benchmarks at full size, ten minutes of steps, and the peers: some hours.
	@out=.taquba-bench-night && mkdir -p $$out
	$(BIN)/python -m taquba.bench --rounds 5 --json $$out/bench.json --plots $$out
	$(BIN)/python -m taquba.bench drift --minutes 10 --json $$out/drift.json
	$(BIN)/python benches/waiting_jobs.py --jobs 1000000
	$(BIN)/python benches/pass_through.py --jobs 10000000
	$(BIN)/python benches/scheduled_runs.py --runs 100000
	$(BIN)/python benches/operating.py
	$(BIN)/python -m benches.peers --repeats 3 --json $$out/peers.jsonl --plot $$out/peers.svg

.PHONY: format
format: toolchain $(TOOLS) ## Format both languages.
	@cargo fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: wheel
wheel: $(INSTALLED) ## Build the release wheel into dist/ and install it into the environment.

.PHONY: clean
clean: ## Remove the environment, the wheel and the demo's state; the Rust build stays.
	@rm -rf $(VENV) dist site $(DEMO_STATE)

.PHONY: toolchain
toolchain:
	@if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
		echo "missing: a Rust toolchain >= $(RUST_VERSION_MIN) (cargo and rustc) on the path; install one with rustup" >&2
		exit 1
	fi
	found="$$(rustc --version | cut -d' ' -f2)"
	if [ "$$(printf '%s\n' "$(RUST_VERSION_MIN)" "$$found" | sort -V | head -n1)" != "$(RUST_VERSION_MIN)" ]; then
		echo "rustc $$found is too old: this project needs >= $(RUST_VERSION_MIN)" >&2
		exit 1
	fi
	if ! command -v "$(PYTHON)" >/dev/null; then
		echo "missing: Python >= 3.11 (\`$(PYTHON)\` is not on the path); give another with PYTHON=..." >&2
		exit 1
	fi
	if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
		echo "$$("$(PYTHON)" --version) is too old: this project needs >= 3.11; give another with PYTHON=..." >&2
		exit 1
	fi
	if ! "$(PYTHON)" -c 'import ensurepip' 2>/dev/null; then
		echo "missing: Python's venv module (on Debian: apt-get install python3-venv)" >&2
		exit 1
	fi

$(TOOLS): tests/requirements-dev.txt | toolchain
	@echo "== environment in $(VENV)"
	[ -x $(BIN)/python ] || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement tests/requirements-dev.txt
	touch $@

$(INSTALLED): $(SOURCES) $(TOOLS)
	@echo "== release wheel (the first build compiles every Rust dependency: some minutes)"
	rm -rf dist
	$(BIN)/maturin build --release --locked --interpreter $(BIN)/python --out dist
	# The first line installs what the wheel needs, the second one replaces an equal version.
	$(BIN)/python -m pip install --quiet dist/*.whl
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	touch $@
