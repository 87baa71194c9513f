# Needs Python 3.11 or newer and the package index; everything goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test install install-test check clean

demo: .venv/installed
	@out=runs/demo-$$(date +%Y%m%d-%H%M%S) && \
	$(BIN)/i2i train pix2pix_earth --out $$out && \
	$(BIN)/i2i evaluate --model $$out --save $$out/translated > /dev/null && \
	echo "Open $$out/report.html in a browser, and look at $$out/test.png and $$out/translated/."

test: .venv/tested
	$(BIN)/python -m pytest

install: .venv/installed
install-test: .venv/tested

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/tested: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

# lint, types and import contracts
check: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist *.egg-info
