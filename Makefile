# `make demo` and `make test` create and reuse .venv; the other targets are for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-run

export HF_HUB_OFFLINE ?= 1

.PHONY: demo test browser deploy-check docs site lint format kill chaos drill attack bench gpu-check bench-queue bench-readouts evaluate clean
.DEFAULT_GOAL := demo

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "savs needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[worker,dev]'
	touch $@

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/python -m savs.demo.corpus $(DEMO)
	$(BIN)/savs-submit run --model demo --name strokes --workspace $(DEMO)/results \
		--train $(DEMO)/stroke/train.jsonl --data $(DEMO)/stroke/corpus.jsonl
	$(BIN)/savs-submit run --model demo --name movements --workspace $(DEMO)/results \
		--train $(DEMO)/movement/train.jsonl --data $(DEMO)/movement/corpus.jsonl
	$(BIN)/savs-submit run --model demo --name strokes-vote --readout reference --workspace $(DEMO)/results \
		--train $(DEMO)/stroke/train.jsonl --data $(DEMO)/stroke/corpus.jsonl
	$(BIN)/savs-submit run --model demo --name movements-vote --readout reference --workspace $(DEMO)/results \
		--train $(DEMO)/movement/train.jsonl --data $(DEMO)/movement/corpus.jsonl
	$(BIN)/savs-submit classify --zero-shot constrained --model demo --name strokes-zero-shot \
		--data $(DEMO)/stroke/corpus.jsonl --workspace $(DEMO)/results
	$(BIN)/savs-submit classify --zero-shot constrained --model demo --name movements-zero-shot \
		--data $(DEMO)/movement/corpus.jsonl --workspace $(DEMO)/results
	$(BIN)/savs-submit results strokes --workspace $(DEMO)/results --out $(DEMO)/strokes.jsonl
	$(BIN)/savs-submit results movements --workspace $(DEMO)/results --out $(DEMO)/movements.jsonl
	@echo
	@echo "Labels:     $(DEMO)/strokes.jsonl and $(DEMO)/movements.jsonl"
	@echo "Summaries:  $$(echo $(DEMO)/results/jobs/*-classify-*/summary.json)"
	@echo "Artifacts:  $(DEMO)/results/artifacts"
	@head -n 1 $(DEMO)/strokes.jsonl $(DEMO)/movements.jsonl
	@echo
	@echo "Zero-shot, the published vote (-vote), and savs, on the same rows:"
	$(BIN)/savs-submit compare strokes-zero-shot strokes strokes-vote strokes \
		movements-zero-shot movements movements-vote movements --workspace $(DEMO)/results
	@echo
	@echo "Reports, which compare the same:"
	$(BIN)/savs-submit report strokes strokes-zero-shot strokes-vote --workspace $(DEMO)/results
	$(BIN)/savs-submit report movements movements-zero-shot movements-vote --workspace $(DEMO)/results

# More processes than cores: most tests wait for workers to start, or for time to pass. Who is done takes tests
# of the others, so that no process is idle at the end. A test that even its time limit cannot end, because its
# threads wait for each other, shows where they wait, and costs its process.
test: $(VENV)/installed
	$(BIN)/python -m pytest -n 3 --dist worksteal \
		-o faulthandler_timeout=360 -o faulthandler_exit_on_timeout=true

# Looks at reports in Chromium, which must be installed; keeps screenshots in build/screenshots.
browser: $(VENV)/installed
	$(BIN)/python -m pytest -m browser tests/report

# Checks deploy/: renders it, asks schemas and linters, and builds the submitter's image and runs it. As root,
# with the Debian packages that `.ci/run` installs; a few minutes.
deploy-check: $(VENV)/installed-deploy
	$(BIN)/python -m pytest -m deploy tests/deploy

$(VENV)/installed-deploy: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[worker,dev,deploy]'
	touch $@

# Runs the code blocks of the pages, each page in a folder of its own; a few minutes.
docs: $(VENV)/installed-docs
	$(BIN)/python -m pytest -m docs -n 2 --dist worksteal tests/docs

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[worker,dev,docs]'
	touch $@

# Builds the site of docs/ in site/: site/index.html.
site: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Kills runs and workers, some at ten random moments, and compares with undisturbed runs; a few minutes.
kill: $(VENV)/installed
	$(BIN)/python -m pytest -m kill -s tests

# Plays a pool in a cluster that grows from nothing and shrinks back, with the numbers of deploy/; nine minutes.
drill: $(VENV)/installed
	$(BIN)/python -m pytest -m drill -s tests/drill

# Kills workers, children and Redis while S3 fails, and compares with an undisturbed run. The last line is JSON.
chaos: $(VENV)/installed
	$(BIN)/python -m tests.pool.chaos

# Tries hostile inputs by the thousand; takes up to ten minutes. The last line is JSON.
attack: $(VENV)/installed
	$(BIN)/python -m tests.attack

# Measures the preparation of pictures, the engine's speed relative to the published loop, and its scaling.
# The last line is JSON.
bench: $(VENV)/installed
	$(BIN)/python -m bench.prepare
	$(BIN)/python -m bench.loop
	$(BIN)/python -m bench.scale

# Runs the measurement for a GPU in small, on whatever there is: `python -m bench.gpu --out DIR` is the whole one.
gpu-check: $(VENV)/installed
	$(BIN)/python -m bench.gpu --shape demo --items 8 --side 112 --out build/gpu-check

# Compares the queue's measurements with their bars; takes about eight minutes. The last line is JSON.
bench-queue: $(VENV)/installed
	$(BIN)/python -m bench.queue

# Compares the readouts' accuracy and calibration with their bars; takes about half an hour. The last line is JSON.
bench-readouts: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[worker,bench]'
	$(BIN)/python -m bench.readouts

# Computes the two tables of docs/demo-model.md.
evaluate: $(VENV)/installed
	$(BIN)/python -m savs.demo.evaluate

clean:
	rm -rf $(VENV) $(DEMO) site
