# Every target does its own set-up: a machine with Python 3.10 or later and git is enough.

PYTHON ?= python3
ARGS ?=
export PYTHON

PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help venv test lint demo bench clean

help: ## this list
	@echo "make TARGET [PYTHON=python3.12] [ARGS=…]"
	@sed -n 's/^\([a-z]*\):.*## /  \1	/p' $(MAKEFILE_LIST)

venv: ## the virtual environment .venv, with mlgit editable and all tools
	@sh tools/setup.sh programs git
	@sh tools/setup.sh env .venv pyproject.toml -- -e '.[examples]' --group dev

lint: venv ## ruff (rules and format) and mypy
	@echo "lint: ruff, mypy"
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy --no-error-summary

test: lint ## lint, then all tests; ARGS go to pytest: make test ARGS="-k query"
	@sh tools/setup.sh programs ssh-keygen sshd gpg chromium
	@$(PY) -m pytest -q -n auto $(ARGS)

demo: venv ## mlgit on real data in a scratch repository; ARGS=FOLDER keeps it
	@$(PY) examples/demo.py $(ARGS)

bench: ## side by side with MLflow and DVC, in an environment of its own (1 GB)
	@sh tools/setup.sh programs git chromium
	@sh tools/setup.sh env .venv-bench pyproject.toml benchmarks/requirements.txt -- \
		-r benchmarks/requirements.txt
	@.venv-bench/bin/python benchmarks/run.py $(ARGS)

clean: ## remove the environments, caches and built files
	rm -rf .venv .venv-bench build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
