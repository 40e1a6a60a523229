# Two commands do everything on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c infra/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test slow faults servers bench bench-engine bench-ingest bench-simulate bench-insitu bench-chain bench-nets bench-slots bench-trends \
        scale gpu lint clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run-ready  ## set up and do the main job on a simulated world
	$(BIN)/fluxforge demo --out out/demo

test: $(VENV)/.dev-ready  ## set up and run the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow and not faults and not scale"

slow: $(VENV)/.dev-ready  ## the proofs that take minutes
	$(BIN)/pytest -m slow

faults: $(VENV)/.dev-ready  ## kill, crowd out, damage: what must be survived, with a table at the end
	$(BIN)/pytest -n 2 -m faults tests/engine tests/faults

servers:  ## install an SSH server, Slurm and Chromium (Debian, as root), so that `make test` runs on them too
	sh infra/slurm/install-servers.sh

scale: $(VENV)/.dev-ready  ## the 29-year record with cheap stages, planned and actual: 5 minutes
	$(BIN)/pytest -m scale

bench-engine: $(VENV)/.dev-ready  ## planning 300,000 blocks, and what the engine costs: 25 minutes
	$(BIN)/python tests/bench/planning.py
	$(BIN)/python tests/bench/engine_cost.py
	$(BIN)/python tests/bench/reports.py

bench-insitu: $(VENV)/.dev-ready  ## reading a million ICOADS reports and a year of NDBC's: half a minute
	$(BIN)/python tests/bench/insitu.py

bench-ingest: $(VENV)/.dev-ready  ## ingest of a satellite-year beside gzip: 10 minutes on a quiet machine
	$(BIN)/python tests/bench/ingest_speed.py

bench-simulate: $(VENV)/.dev-ready  ## a simulated day of each satellite: 3 minutes
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/simulate.py

bench-slots: $(VENV)/.dev-ready  ## how busy a thousand slots are kept, and what a second worker gains: 15 minutes
	$(BIN)/python tests/bench/slots.py

bench-chain: $(VENV)/.dev-ready  ## a day and pass through the record's chain, by stages: a minute
	$(BIN)/python tests/bench/chain.py

bench-nets: $(VENV)/.dev-ready  ## a window through the networks, and a step of training: a minute
	$(BIN)/python tests/bench/nets.py

bench-trends: $(VENV)/.dev-ready  ## trends of a globe of series beside pymannkendall, months of 29 years of days: 8 minutes
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/trends.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/months.py

bench: $(VENV)/.dev-ready  ## the bulk-flux kernel beside its peer: 2 minutes on a quiet machine
	@$(PIP) -e ".[bench]"
	$(BIN)/python tests/bench/bulk_flux.py

gpu: $(VENV)/.dev-ready  ## compile the kernels for a GPU, and test and time them where there is one
	@$(PIP) -e ".[cuda13]"
	$(BIN)/pytest -v tests/kernels/gpu
	$(BIN)/python tests/bench/bulk_flux_gpu.py

lint: $(VENV)/.dev-ready  ## style, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

clean:  ## remove what the commands made, but not the virtual environment
	rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.run-ready: pyproject.toml infra/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fluxforge needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV): about 150 packages, 2.5 GB on disk, 1 to 3 minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@$(BIN)/python -m compileall -q engine kernels recipes  # pip does so with what it copies only
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.run-ready
	@echo "Installing the test tools into $(VENV): under a minute."
	@$(PIP) -e ".[dev]"
	@touch $@
