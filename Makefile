# `make demo` and `make test` need python3 (3.11 or later), git and make; they install everything else into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := out/demo
MODEL := examples/models/mobilenet_v2.onnx
export PYTHONSAFEPATH := 1

.PHONY: fidelity demo test test-fast test-studio check clean

demo: $(VENV)/installed
	@mkdir -p $(DEMO)
	$(BIN)/partita place $(MODEL) --soc sd8gen3-qnn --shape batch=1 --random-weights -o $(DEMO)/mobilenet_v2.plan.json
	$(BIN)/partita run $(DEMO)/mobilenet_v2.plan.json --check
	$(BIN)/partita simulate $(DEMO)/mobilenet_v2.plan.json -o $(DEMO)/timeline.timeline.json --trace $(DEMO)/trace.json --plot $(DEMO)/timeline.png --plot $(DEMO)/timeline.svg
	$(BIN)/partita report $(DEMO)/mobilenet_v2.plan.json -o $(DEMO)/report.html
	@echo "Open $(DEMO)/report.html in a browser, $(DEMO)/trace.json in Perfetto (ui.perfetto.dev)."

test: check
	PARTITA_COMPILED=0 $(BIN)/pytest --quiet --numprocesses 2

check: $(VENV)/installed-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# DATA: a folder of published tables, MODELS: their graphs; without them the sample that ships with the project.
# ABLATION=yes: also fits the laws again without their parts.
fidelity: $(VENV)/installed
	$(if $(ABLATION),$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fit]')
	$(BIN)/python -m partita.studies.validation.fidelity $(DATA) $(MODELS) $(if $(ABLATION),--ablation)

# The compiled kernels of the optional extra [fast].
test-fast: $(VENV)/installed-for-tests
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,fast]'
	$(BIN)/pytest --quiet --numprocesses 2 tests/kernels

# Partita Studio, in a real browser where there is a Chromium.
test-studio: $(VENV)/installed-for-tests
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,studio]'
	$(BIN)/pytest --quiet tests/studio tests/partita/test_studio.py

clean:
	rm -rf $(VENV) out build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: give a newer one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $(VENV)/installed $@
