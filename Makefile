# Everything a person types. `make help` lists it.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-emr dev test test-fast test-faults test-browser pictures test-spark-4.0 fuzz soak check \
	lint types fmt bench s3-jars lock calendar audit clean

# The first Python on the PATH that the dependencies support; the check below explains if there is none.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
SPARK_4_0 := pyspark==4.0.2 --hash=sha256:938b4a1883383374d331ebfcb5d92debfa1891cf3d7a6d730520a1a2d23f1a90
PORT ?= 3000

help: ## list the commands
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: .venv/.ready .venv/.no-telemetry .venv/.archived ## make .venv from requirements.lock (2.3 GB)

.venv/.ready: requirements.lock pyproject.toml
	@$(or $(PYTHON),python3) capstone_dagster/cli/prerequisites.py
	@echo "making .venv from requirements.lock: 2.3 GB, which takes some minutes"
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is needed: sudo apt-get install -y python3-venv"; exit 1; }
	@set -o pipefail; PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --progress-bar off --disable-pip-version-check \
		--use-pep517 --require-hashes -r requirements.lock | deploy/install_progress.sh requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Dagster's dg has no other switch than a file that its environment names.
.venv/.no-telemetry: .venv/.ready
	@echo "import os; os.environ.setdefault('DG_CLI_CONFIG', '$(CURDIR)/deploy/dg.toml')" \
		>"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dg_without_telemetry.pth"
	@touch $@

# Where it cannot be made, Spark only starts more slowly.
.venv/.archived: .venv/.ready
	@echo "making an archive of Spark's classes, so that Spark starts sooner (a minute or so)"
	@$(BIN)/python -m capstone_dagster.steps.class_archive >.venv/spark.jsa.log 2>&1 || \
		echo "it could not be made: see .venv/spark.jsa.log; Spark starts without it (again: rm .venv/.archived)"
	@touch $@

demo: setup ## five sample days from raw files to the report (others: make demo DAYS=2020-08-05..2020-08-07)
	@deploy/demo.sh

demo-emr: setup ## a sample day on EMR, with S3 and EMR as servers on this machine (on a Spark cluster: WORKERS=2)
	@WORKERS=$(WORKERS) deploy/demo_emr.sh

dev: setup ## Dagster UI and daemon on http://127.0.0.1:3000 (another port: make dev PORT=3001)
	@$(BIN)/python capstone_dagster/cli/prerequisites.py
	@$(BIN)/capstone dev --host 127.0.0.1 --port $(PORT)

# Three files at once; those of the whole platform, which take longest, come first.
ALL_AT_ONCE := -n 3 --dist loadfile --no-loadscope-reorder

# MINUTES=N begins none of the whole platform after N minutes, as .ci/run does; TESTS can name fewer.
TESTS := not faults or faults(sample=True)
BEGUN_WITHIN = $(if $(MINUTES),--minutes=$(MINUTES) --no-fold-skipped)
test: setup ## the test suite, with a sample of the fault tests
	@$(BIN)/python capstone_dagster/cli/prerequisites.py
	@$(BIN)/pytest -m "$(TESTS)" $(ALL_AT_ONCE) $(BEGUN_WITHIN)

# What the tests have counted is written to REPORT, and docs/reliability.md shows it.
REPORT := .capstone/fault_report.md
test-faults: setup ## the tests of all faults, with a report (an hour, or less: MINUTES=10)
	@$(BIN)/python capstone_dagster/cli/prerequisites.py
	@$(BIN)/pytest -m faults $(ALL_AT_ONCE) --report=$(REPORT) $(BEGUN_WITHIN)

test-fast: setup ## the tests that start no JVM, no server and no daemon; a minute or so
	@$(BIN)/pytest -m "not slow" -n 2 --dist loadfile -q

test-browser: setup ## the tests that look at the UI and at pages in Chromium
	@$(BIN)/pytest -m browser

pictures: setup ## take the pictures of the documents anew, from the demo and the UI
	@$(BIN)/python -m capstone_dagster_tests.pictures

test-spark-4.0: .venv-spark-4.0/.ready ## the tests of the computation with the Spark of emr-spark-8.0.0
	@.venv-spark-4.0/bin/python capstone_dagster/cli/prerequisites.py
	@.venv-spark-4.0/bin/pytest -n 2 --dist loadfile capstone_dagster_tests/spark_code \
		capstone_dagster_tests/capstone_dagster/steps/test_retries.py

.venv-spark-4.0/.ready: requirements.lock Makefile
	@echo "making .venv-spark-4.0 from requirements.lock, with $(firstword $(SPARK_4_0)) in place of its own"
	@$(PYTHON) -m venv .venv-spark-4.0
	@{ awk '/^[^ ]/ { keep = !/^pyspark==/ } keep' requirements.lock; echo '$(SPARK_4_0)'; } >.venv-spark-4.0/packages
	@.venv-spark-4.0/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes \
		-r .venv-spark-4.0/packages
	@.venv-spark-4.0/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

fuzz: setup ## odd lines and broken files, judged by Spark and by a model of the contract (N=200000 SEED=7)
	@$(BIN)/python capstone_dagster/cli/prerequisites.py
	@$(BIN)/python -m capstone_dagster_tests.fuzz $(if $(N),--lines $(N)) $(if $(SEED),--seed $(SEED))

soak: setup ## days arrive while processes are killed and the disk fills up (DAYS=30 MINUTES=10 SEED=7 LAKE=s3)
	@$(BIN)/python capstone_dagster/cli/prerequisites.py
	@$(BIN)/python -m capstone_dagster_tests.soak $(if $(DAYS),--days $(DAYS)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(LAKE),--lake $(LAKE)) $(if $(SUMMARY),--summary $(SUMMARY))

check: lint types test ## all that must be green: CI runs as much of it as its time allows

lint: .venv/.ready ## style and the contracts between modules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --no-cache

types: .venv/.ready
	@$(BIN)/mypy

fmt: setup ## format the code, fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup ## what the platform costs, beside its targets (some minutes)
	@$(BIN)/python -m benchmarks

s3-jars: setup ## what Spark on this machine needs for s3:// locations
	@$(BIN)/capstone s3-jars

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-annotate --no-header --quiet pyproject.toml

lock: setup ## renew requirements.lock, and deploy/runtime.lock from it, from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(COMPILE) --group dev --upgrade --output-file requirements.lock
	@$(COMPILE) --group build --constraint requirements.lock --output-file deploy/runtime.lock

calendar: setup ## renew the days on which the NYSE is closed or closes early, after make lock
	@$(BIN)/python -m capstone_dagster_tests.builders.nyse_closures

# An empty answer is an error: mirrors of PyPI know no vulnerabilities.
audit: setup ## ask PyPI for known vulnerabilities of the packages in requirements.lock; not every mirror can answer
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv tool run pip-audit@2.10.1 --requirement requirements.lock --require-hashes --disable-pip --strict \
		--progress-spinner off

clean: ## remove .venv, .venv-spark-4.0 and caches; data below .capstone stays
	@rm -rf .venv .venv-spark-4.0 .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
