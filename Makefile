PYTHON ?= python

.PHONY: check format lint types docs test bench

check: lint types docs test

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

docs:
	$(PYTHON) docs/make_cli.py --check

test:
	$(PYTHON) -m pytest -n auto

bench:
	$(PYTHON) benchmarks/mc_inference.py
