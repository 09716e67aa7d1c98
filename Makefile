# The gateway's own commands. `make run` and `make test` set up all that they need; `make help` lists the rest.
#
#   ARGS      passed on: make run ARGS="--port /dev/ttyACM0"
#   PYTHON    the Python to make .venv with; otherwise the first one that is 3.11 or newer
#   VENV      where to make it instead of .venv
#   NO_APT=1  never install a Debian package

ARGS ?=
FUZZ_SECONDS ?= 60
export VENV ?= .venv

BIN := $(VENV)/bin
SETUP := @.ci/setup.sh

.DEFAULT_GOAL := help
.PHONY: run test unit pythons bench campaigns fuzz lint format clean help

run: ## Serve config.yaml; Ctrl-C stops
	$(SETUP) run
	@$(BIN)/gateway run $(ARGS)

test: ## Run every test, the emulated board included; the last line is the verdict
	$(SETUP) test
	@$(BIN)/python .ci/test.py

unit: ## Run the tests that need nothing but Python and start no other program, in seconds
	$(SETUP) test
	@$(BIN)/python -m pytest -n auto -m "not process and not exhaustive" --ignore=tests/emulated --ignore=tests/firmware $(ARGS)

pythons: ## Run them on every Python from 3.11 that is installed; PYTHONS="..." names others
	@.ci/pythons.sh

bench: ## Measure what the gateway costs, in some four minutes; ARGS=serving for one part of four
	$(SETUP) test
	@$(BIN)/python -m benchmarks $(ARGS)

campaigns: ## Kill, unplug and garble it for half an hour and count broken promises; ARGS=crash for one of five
	$(SETUP) test
	@$(BIN)/python -m benchmarks.campaigns $(ARGS)

fuzz: ## Look for input that breaks either end of the link, FUZZ_SECONDS=60 for the board's and about as long for the host's
	$(SETUP) test
	@$(BIN)/python -m tests.firmware.fuzzing $(FUZZ_SECONDS)
	@FUZZ_EXAMPLES=$$(($(FUZZ_SECONDS) * 80)) $(BIN)/python -m pytest -q --timeout=0 tests/protocol/test_fuzz.py tests/board/test_exactly_once.py

lint: ## Check style and types
	$(SETUP) test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict gateway

format: ## Mend what the linter can
	$(SETUP) test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove everything that was built; .gateway, the gateway's memory, stays
	rm -rf .venv build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf firmware/build tests/emulated/bench/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done
