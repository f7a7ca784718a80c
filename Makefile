# Nothing but Python 3.11+ and make is needed. ARGS go to the program a target runs: make test ARGS='-k fdb'

VENV := .venv
BIN := $(VENV)/bin
LAB := $(BIN)/python -m vswitch.lab.rootless

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile

demo: $(VENV)/for-demo ## start a switch with three guests, send real traffic through it, show the result
	@$(LAB) -- $(BIN)/vswitch demo $(ARGS)

test: $(VENV)/for-test ## run the tests; those that need root or a program that is not there are skipped by name
	@$(LAB) --optional -- $(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/for-test ## measure the switch beside every peer that is installed, as root; ARGS=--quick takes five minutes
	@$(BIN)/python -m perf $(ARGS)

lint: $(VENV)/for-lint ## check style, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

coverage: $(VENV)/for-test ## see that tests without a network reach every branch of the core, but for 5 %
	@$(BIN)/coverage run -m pytest -q tests/unit tests/property tests/fuzz $(ARGS)
	@$(BIN)/coverage report --include='vswitch/core/*,vswitch/stages/*' --fail-under=95

clean: ## remove everything that was made here
	@rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/for-test: EXTRAS := [test]
$(VENV)/for-lint: EXTRAS := [test,lint]
$(VENV)/for-demo $(VENV)/for-test $(VENV)/for-lint: $(VENV)/made
	@echo "Installing vswitch$(EXTRAS) into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --no-input --disable-pip-version-check -e '.$(EXTRAS)'
	@touch $@

$(VENV)/made: pyproject.toml
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11) none; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ $$python = none ]; then \
		echo "vswitch needs Python 3.11 or later: install it, or say where it is with make PYTHON=..." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version) ..."; \
	rm -rf $(VENV) && $$python -m venv $(VENV) && touch $@

.PHONY: help demo test bench lint coverage clean
