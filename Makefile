# `make demo` and `make test` do all the set-up themselves: a virtual environment in .venv, from the lock file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?= local
ARGS ?=
IMAGE_REGISTRY ?= localhost/llmdbench
IMAGE_TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' pytest_llmdbench/__init__.py)
# The tests of an extra that is not installed.
WITHOUT = $(shell $(BIN)/python -c 'from importlib.util import find_spec as has; \
	print("" if has("aiconfigurator_core") else " and not aiconfigurator")')
CONTAINER ?= $(shell command -v podman || command -v docker)

.PHONY: help demo test thorough soak bench lint format typecheck docs lock image-build image-push clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

# The marker is newer than what it was made from as long as the environment is right.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pytest-llmdbench needs Python 3.11 or later; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready  ## A chatbot benchmark on the embedded stack: table, verdict, report.html
	$(BIN)/python -m pytest benchmarks -k chatbot --scenario=$(SCENARIO) --html=report.html --self-contained-html $(ARGS)

test: $(VENV)/.ready  ## The project's tests
	$(BIN)/python -m pytest tests -m "not performance and not soak and not thorough$(WITHOUT)" $(ARGS)

thorough: $(VENV)/.ready  ## What the tests leave out because it takes long: more versions, more kinds of load
	$(BIN)/python -m pytest tests -m thorough $(ARGS)

soak: $(VENV)/.ready  ## Twenty sessions killed at random moments, on the cluster of the current kubeconfig
	$(BIN)/python -m pytest tests/kubernetes/test_kill.py -m soak -s -q $(ARGS)

bench: $(VENV)/.ready  ## Measured figures against their goals
	$(BIN)/python -m pytest tests/performance -m performance -s -q $(ARGS)

lint: $(VENV)/.ready  ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.ready  ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.ready  ## Types
	$(BIN)/mypy

docs: $(VENV)/.ready  ## Make the reference pages from the code
	$(BIN)/python -m pytest_llmdbench.reference docs/reference

lock: $(VENV)/.ready  ## Renew the lock file
	$(BIN)/uv pip compile pyproject.toml --quiet --extra dev --universal --generate-hashes --upgrade \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements.lock

image-build:  ## The images of the simulator and of the load programs, with podman or docker
	@test -n "$(CONTAINER)" || { echo "image-build needs podman or docker on the PATH"; exit 1; }
	$(CONTAINER) build -f build/Containerfile.simulator -t $(IMAGE_REGISTRY)/simulator:$(IMAGE_TAG) .
	$(CONTAINER) build -f build/Containerfile.harness -t $(IMAGE_REGISTRY)/harness:$(IMAGE_TAG) .

image-push:  ## Push them: make image-push IMAGE_REGISTRY=registry.example/team
	@test -n "$(CONTAINER)" || { echo "image-push needs podman or docker on the PATH"; exit 1; }
	$(CONTAINER) push $(IMAGE_REGISTRY)/simulator:$(IMAGE_TAG)
	$(CONTAINER) push $(IMAGE_REGISTRY)/harness:$(IMAGE_TAG)

clean:  ## Remove what make made
	rm -rf $(VENV) report.html llmdbench-results
