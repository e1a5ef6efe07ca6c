# The front door for people. Every target calls a room's command line and nothing cleverer.
# `make help` lists the targets; settings are given as NAME=value.

PYTHON := .venv/bin/python
DATA ?=
BUDGET ?=
SEEDS ?=
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help setup demo e2e-best train-all report test lint test-unit test-integration test-e2e lock clean \
	bench-train bench-switches bench-gateway bench-edge bench-corpus

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

setup: ## make .venv and .venv-edge from the pinned locks (a second run is a no-op)
	@sh requirements/setup.sh

demo: setup ## the main job: data, training, signed bundle, three roads, load, report (DATA=folder for your own)
	@$(PYTHON) -m tradeoffs demo $(if $(BUDGET),--budget $(BUDGET)) $(if $(DATA),--data $(DATA))

e2e-best: setup ## the headline model on E2E from nothing, its bundle, and answers to the test inputs
	@$(PYTHON) -m training headline best $(if $(DATA),--set source=$(DATA) --set test_inputs=$(DATA)/testset.csv)

train-all: setup ## every training technique on one task, and the page that compares them (DATA=…, SEEDS=3)
	@$(PYTHON) -m training all $(if $(DATA),--data $(DATA)) $(if $(SEEDS),--seeds $(SEEDS))

report: setup ## write the trade-off pages again from the last measurements
	@$(PYTHON) -m tradeoffs report

test: setup lint ## every check and test that this machine can run, with one summary line
	@$(PYTHON) -m pytest $(TESTS)

lint: setup ## ruff and mypy
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy .

test-unit test-integration test-e2e: test-%: setup
	@$(PYTHON) -m pytest tests -m $*

bench-train: setup ## tokens/s of the training loop against transformers' Trainer
	@$(PYTHON) -m training.bench

bench-switches: setup ## every switch of the training step on against off: tokens/s and memory
	@$(PYTHON) -m training lab switches

bench-gateway: setup ## gateway overhead against the backend alone
	@PATH=$(CURDIR)/.venv-tools/bin:$$PATH $(PYTHON) -m services.gateway.bench --output reports/bench

bench-edge: setup ## edge int4 and fp32 against transformers eager fp32
	@$(PYTHON) -m edge bench

bench-corpus: setup ## rows/s and peak memory of preparing a 100 MB corpus
	@$(PYTHON) -m training corpus bench

lock: ## resolve pyproject.toml into requirements/*.txt (UPGRADE=1 for newer versions)
	@sh requirements/lock.sh

clean: ## remove what jobs wrote (data, runs, bundles, reports); environments and keys stay
	rm -rf data runs bundles reports build
