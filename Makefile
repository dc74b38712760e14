# Two commands matter: `make demo` and `make test`. Each works from nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS ?= 2
# Two test processes on two cores: one thread each, or they take turns waiting for each other.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: demo test test-all lint types notebooks docs clean help

help:
	@echo "make demo      install, fit an encoder on embedded input, print the report's path"
	@echo "make test      install, then lint, types, architecture, packaging, tests"
	@echo "make test-all  the same with the slow tests"
	@echo "make notebooks  the analyses as Jupyter notebooks, in notebooks/"
	@echo "make docs      the reference of all public names, in site/"
	@echo "make clean     remove the environment and caches"

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "neuroai needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/neuroai demo encode

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev
	$(BIN)/mypy

test: lint types
	$(TEST_ENV) $(BIN)/pytest --numprocesses $(JOBS) -m "not slow and not gpu"

test-all: lint types
	$(TEST_ENV) $(BIN)/pytest --numprocesses $(JOBS) -m "not gpu"

# Start Jupyter in this folder: the notebooks find the repository from where they are.
notebooks: $(patsubst analyses/%.py,notebooks/%.ipynb,$(wildcard analyses/*.py))

notebooks/%.ipynb: analyses/%.py $(VENV)/.installed-dev
	@mkdir -p notebooks
	$(BIN)/jupytext --quiet --to ipynb --output $@ $<

docs: $(VENV)/.installed-dev
	$(BIN)/pdoc --docformat numpy --math --output-directory site neuroai neuroai_datasets neuroai_kernels
	@echo "site/index.html"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build notebooks site
