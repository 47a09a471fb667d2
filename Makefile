# Set-up, the demo, the tests and the checks. The environment is .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo study test test-all lint bench clean

demo: $(STAMP)  ## Make synthetic health records from RAND HIE under epsilon 1, with a report.
	$(BIN)/synthvae run configs/randhie.yaml --force
	@echo "Open reports/randhie/custodian/report.html in a browser."

study: $(STAMP)  ## Compare all methods on a public and a simulated table: hours; goes on where it stopped.
	for config in configs/study-*.yaml; do \
		case $$config in *.schema.yaml) ;; *) $(BIN)/synthvae compare $$config || exit 1 ;; esac \
	done

test: $(STAMP)  ## Run the quick tests.
	$(BIN)/pytest

test-all: $(STAMP)  ## Run every test, the slow statistical ones too.
	$(BIN)/pytest -m ""

lint: $(STAMP)  ## Check style, types and the README.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## Measure speed and quality against the baselines, in one run.
	$(BIN)/python -m tests.bench

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,survival,pgm]'
	touch $@

clean:  ## Remove the environment and what tools leave behind.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
