.PHONY: env peers demo check test storm bench clean
PYTHON ?= python3
BIN := .venv/bin

env: .venv/stamp
.venv/stamp: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --editable . --group dev
	touch $@

peers: env  ## the foreign OCPP peers of the tests, from npm and PyPI; the tests get them on first use
	$(BIN)/python -m tests.peers.python_env

demo: env  ## gateway + CSMS + 6 stations, an outage of 20 s, recovery, verdict
	$(BIN)/ocpp-gateway demo

check: env  ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## every check and every test
	$(BIN)/pytest -n 3 --dist worksteal

storm: env  ## kill -9, power cuts, seeded storms; SHORT=1 KILLS= POWER_CUTS= SEEDS= HOURS= STATIONS= BALANCE= RESUME=
	$(BIN)/python -m tests.storm

bench: env  ## ratios against a floor measured in the same run
	$(BIN)/python -m bench

clean:
	rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
