# Set-up, the demo, the tests and the checks. The environment is .venv; nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev,pgm
CONSTRAINTS ?= constraints.txt
TORCH ?= yes
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
# With TORCH= nothing of torch is installed, and no fit is tried.
SHORT := tests/table tests/marginals tests/evaluation tests/drafting tests/test_schema.py tests/test_frozen.py
test-short: $(STAMP)  ## Run what depends most on Python and on the versions of other packages.
	$(PYTEST) $(SHORT) $(if $(TORCH),tests/privacy tests/test_synthesizer.py)

lint: $(STAMP)  ## Check style, types and the README.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## Measure speed and quality against the baselines, in one run.
	$(BIN)/python -m tests.bench

# torch first, at the version that the constraints pin; without it, all that is declared but it.
DECLARED = $(BIN)/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
	print(*(d for d in p['dependencies'] + p['optional-dependencies']['dev'] \
	if not d.startswith(('torch', 'opacus'))), sep='\n')"
$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
ifdef TORCH
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
else
	$(DECLARED) > $(VENV)/declared.txt
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --requirement $(VENV)/declared.txt
	$(BIN)/pip install --quiet --no-deps --editable .
endif
	touch $@

clean:  ## Remove the environment and what tools leave behind.
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
