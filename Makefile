# Every contributor action is one command; CI runs the same ones.
PYTHON ?= python3
BIN := .venv/bin
DATA ?=
IMAGES ?=

.PHONY: help install demo test test-long check bench format clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## Set up .venv with everything (about 3 minutes, 6 GB, once)

.venv/installed: pyproject.toml
	@echo "== setting up .venv: about 3 minutes and 6 GB the first time"
	@start=$$(date +%s); $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet -e '.[dev]' \
	  && touch $@ && echo "== installed in $$(( $$(date +%s) - start )) s"

demo: install  ## Run the main job offline: PatchCore against SoftPatch (about 2 minutes)
	@echo "== softpatch demo: about 2 minutes on 2 cores for the synthetic line"
	$(BIN)/softpatch demo $(if $(DATA),--data $(DATA) --output softpatch-demo/$(notdir $(DATA)))

# A process for each core, as most tests have too little work for two; those of a file share fixtures.
# In the order of their names: else files with few tests come last, such as the cluster's, which take
# minutes each, and the other processes have nothing left to do.
test: install  ## Pass the tests (about 15 minutes on 2 cores; real images if they are there)
	@echo "== tests: about 15 minutes on 2 cores"
	@start=$$(date +%s); OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
	    --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder \
	  && echo "== tests passed in $$(( $$(date +%s) - start )) s"

# One after the other: they measure and fill this machine by themselves.
test-long: install  ## Pass the tests that take minutes each (about 15 minutes)
	@echo "== long tests: about 15 minutes on 2 cores"
	$(BIN)/python -m pytest --long -m long

check: install  ## Lint, formatting and types (about 30 seconds)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: install  ## Time and memory beside peers, to benchmarks/results (about 90 minutes; IMAGES=20 for a try)
	$(BIN)/pip install --quiet -e '.[bench]'
	@echo "== benchmarks: about 90 minutes on 2 cores with nothing else running"
	$(BIN)/python -m benchmarks $(if $(IMAGES),--images $(IMAGES))

format: install  ## Apply the formatter and the linter's safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove the environment and everything built
	rm -rf .venv dist softpatch-demo .pytest_cache .mypy_cache .ruff_cache
