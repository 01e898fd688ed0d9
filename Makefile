# Entry points. `make` alone lists them. Settings: make report SCALE=smoke CORES=2 ARGS="--dry-run"
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup report test test-slurm reproduce bench scaling lint lock clean

CORES ?= all
SCALE ?=
ARGS ?=
# What would keep the environment's Python, or bash itself, from starting. All else of the user's
# settings is dealt with in respike.runs.surroundings.
unexport PYTHONHOME PYTHONPATH PYTHONSTARTUP BASH_ENV ENV
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
	@echo "  Options: SCALE=smoke|default|paper  CORES=2  ARGS=... (passed on to snakemake or pytest)"

setup:  ## create .venv with the pinned packages (does nothing when it is up to date)
	@bash workflow/setup.sh

report: setup  ## run what is missing or stale, then write the comparison report
	@$(RUN) snakemake --cores $(CORES) $(if $(SCALE),--config scale=$(SCALE)) $(ARGS)
	@$(RUN) respike report $(if $(SCALE),--scale $(SCALE))

# Two at a time; the tests of a file stay together, and long ones come first, as pyproject.toml lists
# their folders.
test: setup  ## every test (those of the page need Chromium)
	@bash workflow/browser.sh
	@$(RUN) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# Stops Slurm whatever happens, and ends with the status of the tests.
test-slurm: setup  ## the pipeline on a one-node Slurm that it starts and stops (Debian, root)
	@folder=$$(mktemp -d "$${TMPDIR:-/tmp}/respike-slurm.XXXXXX"); \
	trap 'bash workflow/slurm/stop.sh "$$folder"; rm -rf "$$folder"' EXIT; \
	bash workflow/slurm/start.sh "$$folder"; \
	$(RUN) python -m pytest -m slurm tests/slurm $(ARGS)

reproduce: setup  ## run one claim again from nothing and compare: make reproduce CLAIM=poisson_mlp.accuracy
	@$(RUN) respike reproduce $(CLAIM) $(if $(SCALE),--scale $(SCALE)) $(ARGS)

bench: setup  ## time our code beside its peers: reports/benchmarks.csv
	@$(RUN) respike bench

scaling: setup  ## cost of each experiment against its size: reports/scaling.csv
	@$(RUN) respike scaling

lint: setup  ## style and workflow checks
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) snakefmt --check Snakefile workflow src/respike/sources
	@$(RUN) snakemake --lint

lock:  ## remake requirements.lock from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o requirements.lock

clean:  ## remove caches, logs and smoke runs; data, results, reports and .venv stay
	@test -f src/respike/runs/owned.py || { echo "make clean: call it in the checkout" >&2; exit 1; }
	@rm -rf logs results/smoke reports/smoke .pytest_cache .ruff_cache .cache build
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
