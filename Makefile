# Every target sets itself up: Python 3.11 or newer is all that a machine needs.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-fast lint format bench gpu-check docker-rehearsal clean help

help:
	@echo "make demo    make a synthetic cathode, analyse it, say where the report is"
	@echo "make test    run the tests (PYTEST='-k boundary' for some of them)"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make bench   benchmarks beside the peers, into benchmarks/results"
	@echo "make gpu-check        on a machine with a GPU: its tests, sanitizer and benchmarks, into OUT=folder"
	@echo "make docker-rehearsal the steps of the Dockerfile in a clean folder, without an engine"

demo: $(VENV)/.installed
	$(BIN)/tripoint synth output=out/demo/cathode.zarr overwrite=true
	$(BIN)/tripoint analyze input=out/demo/cathode.zarr materials=solid_state_cathode output=out/demo/result \
		transport=on activity=simulate overwrite=true

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST)

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" $(PYTEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-bench
	for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

# With the Python that has CuPy: GPU_PYTHON=python3 where it is not that of the virtual environment.
OUT        ?= out/gpu-check
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)
gpu-check:
	$(GPU_PYTHON) benchmarks/gpu_check.py $(OUT) $(GPU_CHECK)

docker-rehearsal:
	$(PYTHON) tests/rehearse_dockerfile.py $(REHEARSAL)

# A target is remade when what it installs has changed.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "tripoint needs Python 3.11 or newer; none was found on the PATH" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# src/ also stands on the path itself: a folder named tripoint in the working directory would hide the package else.
INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
ON_PATH = $(BIN)/python -c "import pathlib, sysconfig; \
	pathlib.Path(sysconfig.get_path('purelib'), 'tripoint-checkout.pth').write_text('$(CURDIR)/src\n')"

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) .
	@$(ON_PATH)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[dev,learn,segment,sweep]'
	@$(ON_PATH)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[dev,learn,segment,sweep,bench]'
	@$(ON_PATH)
	@touch $@ $(VENV)/.installed $(VENV)/.installed-dev

clean:
	rm -rf $(VENV) build out *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
