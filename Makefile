PYTHON ?= python3

.PHONY: help demo test lint types bench sweep clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

demo: ## the main job on the built-in newsroom, on loopback
	$(PYTHON) -m pipeline.cli demo

test: ## lint, types, and every test, with coverage
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m coverage erase
	$(PYTHON) -m coverage run -m pytest
	$(PYTHON) -m coverage combine -q
	$(PYTHON) -m coverage report --fail-under=95

lint: ## mend what can be mended, then complain
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types: ## mypy --strict
	$(PYTHON) -m mypy

bench: ## measure beside wget, warcio and bagit; prints ratios, writes bench.json
	$(PYTHON) tests/bench/bench.py
	$(PYTHON) tests/bench/deposits.py

sweep: ## kill runs at every point, cut the power, refuse writes; writes tests/README.md
	$(PYTHON) tests/sweep.py --write

clean: ## remove what tools left behind, never the archive
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* dist build
	find . -name __pycache__ -prune -exec rm -rf {} +
