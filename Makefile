# Set-up, the demo, the tests and the checks. The environment is .venv; nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev,pgm
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A process for each core, of one thread: more threads than cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal

.PHONY: demo study test test-slow test-short test-all lint bench clean

demo: $(STAMP)  ## Make synthetic health records from RAND HIE under epsilon 1, with a report.
	$(BIN)/synthvae run configs/randhie.yaml --force
	@echo "Open reports/randhie/custodian/report.html in a browser."

study: $(STAMP)  ## Compare all methods on a public and a simulated table: hours; goes on where it stopped.
	for config in configs/study-*.yaml; do \
		case $$config in *.schema.yaml) ;; *) $(BIN)/synthvae compare $$config || exit 1 ;; esac \
	done

test: $(STAMP)  ## Run the quick tests.
	$(PYTEST)

test-slow: $(STAMP)  ## Run the slow statistical tests.
	$(PYTEST) -m slow

test-all: $(STAMP)  ## Run every test.
	$(PYTEST) -m ""

# make test-short PYTHON=python3.13 VENV=.venv-3.13 EXTRAS=dev CONSTRAINTS=constraints-oldest.txt
test-short: $(STAMP)  ## Run what depends most on Python and on the versions of other packages.
	$(PYTEST) tests/table tests/privacy tests/test_schema.py tests/test_synthesizer.py

lint: $(STAMP)  ## Check style, types and the README.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## Measure speed and quality against the baselines, in one run.
	$(BIN)/python -m tests.bench

$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	touch $@

clean:  ## Remove the environment and what tools leave behind.
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
