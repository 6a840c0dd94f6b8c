# Everything a clone needs: Python 3.11 or newer, make and git.
#   make setup PYTHON=python3.12     another interpreter
#   make test ARGS="-k losses"       arguments for pytest
#   make setup CONSTRAINTS=          the newest versions, not those that the suite last passed on
#   make test WORKERS=8              more test processes (each takes about one core and 1 GB)

PYTHON ?= python3
OLDEST_PYTHON ?= python3.11
# Empty for whatever resolves, where a version has no build for your Python or system.
CONSTRAINTS ?= constraints.txt
ARGS ?=
WORKERS ?= 2

VENV := .venv
OLDEST := .venv-oldest
NEWEST := .venv-newest
PY := $(VENV)/bin/python
# All that tests, experiments and the command line import.
EXTRAS := bio,genesets,experiments,cli
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# All but gpu, which needs an accelerator; some of them: make bench BENCHMARKS="compile quality"
# answer, the longest, needs PEERS_PYTHON=..., an interpreter with cnmf, scanpy and scvi-tools: what it
# lacks is not measured, and the rows say so.
BENCHMARKS ?= compile iteration restarts stream quality sharding answer
SOURCES := bcnmf_jax experiments benchmarks tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup constraints browser demo test test-all test-as-shipped test-newest test-oldest lint types mutations parity bench paper docs dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/installed ## create .venv with the package and everything that the targets below import

# The stamps are written last, so that an interrupted install is done again.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "Python 3.11 or newer is needed; '$(PYTHON)' is not: make setup PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) $(PIP_INSTALL) $(CONSTRAINTS:%=-c %) -e '.[$(EXTRAS),dev]'
	@touch $@

# To be run where the suite has passed: after `make test`, or with VENV=.venv-newest after
# `make test-newest`. Names and versions alone.
constraints: ## write constraints.txt, the versions installed in .venv (or VENV=...)
	@{ echo "# Versions that the suite has passed on, by make constraints; make setup installs these."; \
	  $(PY) -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==[^ ;@]+$$'; } > $@.part
	@mv $@.part $@.txt

$(NEWEST)/installed: pyproject.toml
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python $(PIP_INSTALL) -e '.[$(EXTRAS),test]'
	@touch $@

$(OLDEST)/installed: pyproject.toml constraints-oldest.txt
	@$(OLDEST_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo \
	  "Python 3.11, the oldest one supported, is needed: make test-oldest OLDEST_PYTHON=/path/to/python3.11"; exit 1; }
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python $(PIP_INSTALL) -c constraints-oldest.txt -e '.[$(EXTRAS),test]'
	@touch $@

# Without a browser the tests that open a report skip, and say so; nothing else needs one.
browser: setup ## Chromium for the tests that open a report, from Debian's packages where that is possible
	@$(PY) $(PIP_INSTALL) -e '.[browser]' || echo "playwright cannot be installed: tests with a browser skip"
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then :; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "Chromium is installed by apt-get as root alone: tests with a browser skip"; \
	else \
	  { apt-get update -qq -o Acquire::http::Timeout=20 && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null; } \
	  || echo "Chromium cannot be installed: tests with a browser skip"; \
	fi

demo: setup ## bcNMF against PCA, cPCA and NMF on data that needs no download (QUICK=1: smaller)
	$(PY) -m experiments.demo $(if $(QUICK),--quick)

test: setup ## the test suite without the slow tests
	$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-all: setup ## the test suite with the slow tests
	$(PY) -m pytest -n $(WORKERS) --dist loadfile -m "not gpu" $(ARGS)

# As users run it: the suite otherwise compiles without optimisation, which saves most of its time.
test-as-shipped: setup ## the test suite with XLA's own settings
	BCNMF_TEST_OPTIMISED=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

# Installed anew each time: what resolves changes from day to day.
test-newest: ## the test suite on the newest versions that resolve, in .venv-newest
	rm -f $(NEWEST)/installed
	$(MAKE) $(NEWEST)/installed
	$(NEWEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-oldest: $(OLDEST)/installed ## the test suite on the declared lower bounds, in .venv-oldest
	$(OLDEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: setup ## ruff: rules and format; import-linter: which room imports which
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports

types: setup ## pyright
	$(PY) -m pyright --pythonpath $(PY)

mutations: setup ## break one line of the core at a time, and name the test that fails
	$(PY) -m tests.mutations

parity: setup ## how closely the solvers agree with the published equations and scikit-learn
	$(PY) -m tests.parity

# A benchmark that finds the machine busy records nothing, and the others go on.
bench: setup ## benchmarks, into docs/ (TORCH_PYTHON=..., PEERS_PYTHON=... where peers are elsewhere; BENCHMARKS=..., FULL=1)
	@for name in $(BENCHMARKS); do \
	  echo "== $$name"; FULL=$(FULL) $(PY) -m benchmarks $$name --out benchmarks/results || failed=1; done; \
	$(PY) -m benchmarks.report && exit $${failed:-0}

paper: setup ## tables and figures from the recorded rows
	$(PY) -m experiments.paper.tables
	$(PY) -m experiments.paper.figures
	$(PY) -m experiments.paper.readme

docs: setup ## the documentation, its code run, in docs/_build/html
	$(PY) $(PIP_INSTALL) -e '.[docs]'
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html

# The wheel must do in an environment that has nothing else.
dist: setup ## wheel and sdist in dist/, the wheel tried in an empty environment
	rm -rf dist build/empty
	$(PY) -m build --outdir dist
	$(PYTHON) -m venv build/empty
	build/empty/bin/python $(PIP_INSTALL) dist/*.whl
	cd build && empty/bin/python ../docs/examples/first_fit.py
	cd build && empty/bin/bcnmf --help 2>&1 | grep "pip install 'bcnmf_jax\[cli\]'"

clean: ## remove environments, caches and build output (recorded rows, tables and figures stay)
	rm -rf $(VENV) $(OLDEST) $(NEWEST) build dist docs/_build docs/api/generated *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
