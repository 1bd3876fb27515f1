# Each target does the set-up that it needs by itself: a fresh clone needs nothing but python3 (3.11 or newer) and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= auto
LOWEST ?= .venv-lowest
NEWEST ?= .venv-newest
# The suite's core: what rests on the libraries whose versions pyproject.toml bounds. Models and methods, training,
# search, Ray, the results and their report.
CORE   := $(patsubst %,tests/%.py,bench/models/test_attention bench/models/test_dropout bench/models/test_load bench/methods/test_methods_applied \
          bench/methods/_peft/test_options bench/methods/_peft/test_effects bench/models/test_frozen_encoder \
          bench/training/packs/test_stacked_model bench/methods/cost/test_probe bench/training/worker/test_pack_runner \
          bench/training/test_checkpoint bench/training/worker/test_weights bench/data/test_tokenize \
          bench/scheduling/test_optuna_search bench/driver/test_run bench/driver/ray/test_sweep bench/driver/ray/test_faults bench/driver/ray/test_workarounds \
          bench/data/test_readers bench/study/test_load bench/cli/test_cli_bad_input \
          analysis/load/test_load analysis/report/test_report)

# A file to a process, the dearest first (tests/conftest.py); xdist alone would start those with most tests first.
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder

# One thread per process: tests and trials run side by side, one to a core.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help install quickstart test test-matrix test-long test-bounds lint browser docs bench bench-gpu bench-growth clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## create .venv and install finebench into it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "finebench needs Python 3.11 or newer; name one with make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

quickstart: install ## run the quickstart study and write its report
	$(BIN)/finebench run quickstart

test: lint ## ruff, mypy and the tests that are not slow
	$(BIN)/python -m pytest $(SPREAD) -m 'not slow'

test-matrix: install ## a step and an evaluation of every model family with every method, in fp32 and bf16, alone and packed
	$(BIN)/python -m pytest -n $(JOBS) tests/bench/training/worker/test_float32_modules.py

test-long: lint ## every test, fuzzing with them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m pytest $(SPREAD)

test-bounds: $(LOWEST)/.installed ## the suite's core with the lowest and the newest versions that are allowed
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[dev]'
	$(LOWEST)/bin/python -m pytest $(SPREAD) -m 'not slow' $(CORE)
	$(NEWEST)/bin/python -m pytest $(SPREAD) -m 'not slow' $(CORE)

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	touch $@

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Debian's package as root; elsewhere, and for everyone else, Playwright's own download into the user's cache.
browser: install ## Chromium for the tests of the report's page, where there is none
	@$(BIN)/python -m tests.analysis.browser || \
	if [ "$$(id -u)" = 0 ] && grep -qsx 'ID=debian' /etc/os-release; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else \
		$(BIN)/playwright install chromium; \
	fi

docs: $(VENV)/.docs ## the documentation, in docs/_build/html; every warning is an error
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

bench: install ## the same trials through stock Ray Tune, a bare loop and finebench; BENCH="--model DIR --data DIR"
	$(BIN)/python -m tests.benchmarks.yardstick $(BENCH)

bench-gpu: install ## the same on one GPU, and what each part brings
	$(BIN)/python -m tests.benchmarks.gpu $(BENCH)

bench-growth: install ## how long commands take on folders of 1,000 to 100,000 trials; BENCH="--trials 1000"
	$(BIN)/python -m tests.benchmarks.growth $(BENCH)

clean: ## remove what the other targets made, results apart
	rm -rf $(VENV) $(LOWEST) $(NEWEST) build dist docs/_build docs/_generated .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
