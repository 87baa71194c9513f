# Needs Python 3.11 or newer and the package index; everything goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-page install install-test check clean

demo: .venv/installed
	@out=runs/demo-$$(date +%Y%m%d-%H%M%S) && \
	$(BIN)/i2i train pix2pix_earth_demo --out $$out && \
	$(BIN)/i2i evaluate --model $$out --save $$out/translated > /dev/null && \
	echo "Open $$out/report.html in a browser, and look at $$out/test.png and $$out/translated/."

test: .venv/tested
	$(BIN)/python -m pytest

# The web page, in a real browser where there is one. Its packages lie apart, because gradio holds Pillow below 13, whose
# resampling rounds otherwise than 13's: the golden pictures were made with 13.
test-page: .venv/tested .venv/page/tested
	PYTHONPATH=.venv/page $(BIN)/python -m pytest -m 'slow or not slow' tests/test_demo.py

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

.venv/page/tested: pyproject.toml .venv/tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target .venv/page --upgrade 'gradio>=6.16' 'playwright>=1.50'
	touch $@

# lint, types and import contracts
check: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist *.egg-info
