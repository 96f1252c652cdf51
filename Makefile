# Everything happens in .venv; the first target that needs it makes it, later ones need no network for it.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_FOR_BENCH := $(VENV)/.ready-for-bench
READY_FOR_DOCS := $(VENV)/.ready-for-docs

.PHONY: demo test pages report-picture docs crash-test fuzz lint models bench clean

demo: $(READY)
	@$(BIN)/sartor demo

test: $(READY)
	@$(BIN)/python -m pytest -q

# The crash campaign in full: kills, power failures, full and failing disks, damage.
crash-test: $(READY)
	@$(BIN)/python -m tests.crash
	@$(BIN)/python -m tests.serving.disconnects

# The server's API with wrong, huge and evil requests, in full: some minutes.
fuzz: $(READY)
	@$(BIN)/python -m tests.fuzz

# The pictures in docs/pages, taken by the tests of the pages (they need chromium).
pages: $(READY)
	@mkdir -p build/pages && SARTOR_SCREENSHOTS=build/pages $(BIN)/python -m pytest -q tests/serving/test_ui_pages.py
	@for picture in docs/pages/*.png; do cp build/pages/$$(basename $$picture) $$picture; done

# The picture of the report in the README, from a finished `make demo` (it needs chromium).
report-picture: $(READY)
	@$(BIN)/python -m tests.choosing.report_picture runs/demo docs/report.png

# The documentation as a site in build/site, which works from the folder, without a server.
docs: $(READY_FOR_DOCS)
	@$(BIN)/python -m docs.site.build

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy sartor
	@$(BIN)/python -m pytest -q tests/test_architecture.py

# The starter models, fetched once into the cache: tests with a real model run only where they are.
models: $(READY)
	@$(BIN)/python -c "from sartor.models.starter import STARTERS, fetch; print(*map(fetch, STARTERS), sep='\n')"

# Every benchmark that needs no checkout of another project: hours. What failed is named at the end.
bench: $(READY_FOR_BENCH)
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis dist build

# torch goes first and by its exact version, so that a build for this machine (see CONTRIBUTING.md) is kept.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Sartor needs Python 3.11 or newer"; echo "hint: make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "hint: on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(READY_FOR_BENCH): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[dev,bench]'
	@touch $@

$(READY_FOR_DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	@touch $@
