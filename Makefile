# Needs Python 3.11 or newer and the package index; everything goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-page install install-test check docs clean

demo: .venv/installed
	@out=runs/demo-$$(date +%Y%m%d-%H%M%S) && \
	$(BIN)/i2i train pix2pix_earth_demo --out $$out && \
	$(BIN)/i2i evaluate --model $$out --save $$out/translated > /dev/null && \
	echo "Open $$out/report.html in a browser, and look at $$out/test.png and $$out/translated/."

test: .venv/tested
	$(BIN)/python -m pytest -n auto --dist loadfile

# Tests that take longer than the default ones.
test-slow: .venv/tested
	$(BIN)/python -m pytest -m slow -n auto --dist load

# Tests of the web page and of report.html in chromium. Without chromium they are skipped, or fail if CI=true. Their
# packages have a folder of their own, because gradio requires Pillow below 13, which rounds differently when it resizes:
# the images of tests/golden were made with 13.
test-page: .venv/tested .venv/page/tested
	PYTHONPATH=.venv/page $(BIN)/python -m pytest -m 'slow or not slow' tests/inference/test_demo.py tests/robustness/test_foreign_origin.py tests/test_report_browser.py tests/inference/test_compare_browser.py tests/inference/test_study_browser.py

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

# style, spelling, types and import contracts
check: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

# the documentation as a site in site/; broken links and names that are not there fail
docs: .venv/documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

.venv/documented: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

clean:
	rm -rf .venv build dist site *.egg-info
