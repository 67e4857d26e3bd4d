# make demo: trains Deep-LIFT on the embedded data set and writes a report; make test: unit and integration tests.
# Both do all of their own set-up in .venv from Python >= 3.10 alone: make demo PYTHON=python3.12 chooses which.

PYTHON ?= python3
RUN := .venv/bin/python

# A stranger's packages in PYTHONPATH would be mixed with the pinned ones.
unexport PYTHONPATH
unexport PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo test lint doctor python env-demo env-test

help:
	@echo 'make demo    install, train Deep-LIFT on the embedded data set, test it, write a report'
	@echo 'make test    install with the detection extra and run the unit and integration tests'
	@echo 'make lint    ruff and mypy'
	@echo 'make doctor  what is installed, and what to run for what is missing'
	@echo 'PYTHON=python3.x chooses the Python of .venv (now: $(PYTHON))'

demo: env-demo
	@$(RUN) tools/demo.py

test: env-test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -m 'not process' -n auto --maxprocesses 4 --dist loadfile

lint: env-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

doctor: env-demo
	@$(RUN) -m mlic_mm.doctor

env-demo env-test: env-%: python
	@'$(PYTHON)' tools/setup_env.py $*

python:
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "mlic_mm needs Python 3.10 or newer; '$(PYTHON)' is" \
	    "$$('$(PYTHON)' --version 2>&1 | head -n 1 || true). Name another: make demo PYTHON=python3.11" >&2; exit 1; }
