# Everything sets itself up: the first call makes .venv and installs into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-long bench lint format ui clean

demo: $(READY)  ## build the demo's release; its folder is the last line
	$(BIN)/pairwright build pipelines/demo.yaml

test: $(READY)  ## the whole suite, under ten minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-long: $(READY)  ## the long forms, too
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(READY)  ## speed and memory; writes benchmarks/results.json
	$(BIN)/python benchmarks/run.py

lint: $(READY)  ## what must be clean before a commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p pairwright

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: $(READY)  ## the UI on 127.0.0.1:3000
	$(BIN)/pairwright ui

# torch comes first and alone, so that what follows takes the build that is there.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,test,test-trainers,test-ui,lint]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
