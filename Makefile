# Development commands. Variables: PYTHON (makes .venv), ARGS (for pytest, bench, quality), PHOTO, DAMAGE and
# MODEL (for the demo), COMFYUI_DIR (use this ComfyUI), GPEN_MODELS_DIR (a ComfyUI models folder),
# GPEN_TEST_DATA.

PYTHON ?= python3
VENV := .venv/bin
PACK := gpen_face_restore

.DEFAULT_GOAL := help
.PHONY: help setup demo screenshots train test lint lint-js types check bench quality bench-gpu format clean distclean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## create .venv and .host, or bring them up to date
	@$(PYTHON) tools/environment.py --tests

demo: setup ## restore the faces of a damaged sample photo, or of PHOTO=file, in a real ComfyUI
	@$(VENV)/python tools/demo.py $(if $(PHOTO),"$(PHOTO)") $(if $(MODEL),--model "$(MODEL)") \
		$(if $(DAMAGE),$(if $(filter 0,$(DAMAGE)),--no-damage,--damage))

screenshots: setup ## write pictures of all workflows and views into docs/images/, with Chromium
	@$(VENV)/python tools/screenshots.py

train: setup ## train a small network on PHOTOS=folder; ARGS="--pictures 100000" goes to it
	@$(VENV)/python -m training "$(PHOTOS)" $(ARGS)

test: setup ## run all tests; ARGS="-k name -x" goes to pytest
	@$(VENV)/python -m pytest tests -c tests/pytest.ini $(ARGS)

lint: setup lint-js ## check style and formatting
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .

# With a Node.js of the system, or one that pip has put into .venv.
lint-js: ## check js/ with ESLint and TypeScript, if there is a Node.js
	@PATH="$(CURDIR)/$(VENV):$$PATH" tools/js/check

# Run under the pack's name: the folder of a clone may be called what no Python package can be.
types: setup ## check types
	@mkdir -p .host/types && ln -sfn ../.. .host/types/$(PACK)
	@cd .host/types && ../../$(VENV)/mypy --config-file ../../pyproject.toml \
		-p $(PACK).gpen_core -p $(PACK).nodes
	@MYPYPATH=tools:. $(VENV)/mypy --explicit-package-bases tools/*.py training/*.py

check: lint types test ## lint, types and test

bench: setup ## time the network beside its peers; ARGS="--sizes 2048" goes to the script
	@$(VENV)/python benchmarks/speed.py $(ARGS)

quality: setup ## measure restored portraits against the originals; ARGS="--photos folder" goes to the script
	@$(VENV)/python benchmarks/quality.py $(ARGS)

# Without setup: a machine with a GPU may have a PyTorch of its own, and more is not needed.
bench-gpu: ## on a CUDA device, check and time the network, into benchmarks/results/gpu.md
	@$(if $(wildcard $(VENV)/python),$(VENV)/python,$(PYTHON)) benchmarks/gpu.py $(ARGS)

format: setup ## format and sort imports
	@$(VENV)/ruff check --select I --fix .
	@$(VENV)/ruff format .

clean: ## remove the demo's pictures and all caches
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .host/types
	find . -name __pycache__ -not -path './.venv/*' -not -path './.host/*' -exec rm -rf {} +

distclean: clean ## remove .venv and .host, downloaded models included
	rm -rf .venv .host
