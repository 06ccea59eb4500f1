# Everything here works on a machine that has Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SITE := _build/html/index.html

# OpenMP threads that wait by spinning make training many times slower on a busy machine;
# a short spin keeps the speed of a quiet one.
export GOMP_SPINCOUNT := 1000

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book pdf epub offer serve check-site check-colab test lint format clean clean-all

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

# One environment for all targets, made again only when what it holds has changed.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11' >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[dev]'
	@touch $@

book: $(READY)  ## build the book, every notebook executed
	@$(BIN)/python book/tools/forget_stale_results.py
	@rm -rf _build/html
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@echo 'The book is at $(CURDIR)/$(SITE); "make serve" shows it.'

epub: $(READY)  ## write the book as an EPUB (needs Chromium)
	@$(BIN)/python book/tools/forget_stale_results.py
	$(BIN)/python book/tools/build_epub.py
	@$(MAKE) --no-print-directory offer

pdf: epub  ## write the book as a PDF, and as an EPUB (needs Chromium)
	$(BIN)/python book/tools/build_pdf.py
	@$(MAKE) --no-print-directory offer

# The landing page of a built site links to those of the two that are there.
offer:
	@test ! -f $(SITE) || { rm -f _build/html/book/index.html; \
	  $(BIN)/jupyter-book build . -W -n --keep-going -q; }

serve: $(READY)  ## show the built book at http://127.0.0.1:8000
	@test -f $(SITE) || $(MAKE) --no-print-directory book
	@echo 'The book is at http://127.0.0.1:8000 (Ctrl-C stops the server)'
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

check-site: $(READY)  ## look at the built book in a browser (needs Chromium)
	$(BIN)/python -m pytest -m site

check-colab: $(READY)  ## run every notebook as Colab does (minutes)
	$(BIN)/python -m pytest -m every

# One thread a process: small tensors gain little from a second one.
test: $(READY)  ## run the tests, a file a process
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY)  ## check style, spelling, import floors and the repository's address
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/python book/tools/set_address.py --check

format: $(READY)  ## put code and notebooks into the common style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was built, keep the environment
	rm -rf _build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -exec rm -rf {} +

clean-all: clean  ## remove the environment too
	rm -rf $(VENV)
