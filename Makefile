PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format calibrate calibrate-subset

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,demo,openfeature,postgres,report,s3,ui,warehouse]'
	touch $(READY)

demo: $(READY)  ## two published trials and a shop with planted faults, from files to reports
	$(BIN)/python examples/demo.py

test: $(READY)  ## everything but the slow simulations
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --durations=5

calibrate: $(READY)  ## every method against the truth, by simulation; makes the page in docs/ (half an hour)
	$(BIN)/xp calibrate --full --out docs

calibrate-subset: $(READY)  ## the same with fewer replicates, in a few minutes
	$(BIN)/xp calibrate --subset

check: $(READY)  ## format, lint, types, import arrows
	$(BIN)/ruff format --check xp_pipeline xp_pipeline_tests examples benchmarks
	$(BIN)/ruff check xp_pipeline xp_pipeline_tests examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)  ## put the code into shape
	$(BIN)/ruff format xp_pipeline xp_pipeline_tests examples benchmarks
	$(BIN)/ruff check --fix xp_pipeline xp_pipeline_tests examples benchmarks
