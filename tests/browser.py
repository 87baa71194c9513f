"""The browser of the tests that look at a page. They run by `make test-page`, which installs playwright."""

import os
import shutil

import pytest


def chromium() -> str:
    """Returns chromium's path. Skips the test if there is none, or fails it where CI=true."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    message = "there is no chromium on this machine (apt-get install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def until(locator):
    """Waits for what is then asked of a locator: until(locator).to_have_count(6).

    page.wait_for_function cannot do this. Each time it looks again, it evaluates a string within the page, and the
    pages' content security policy forbids that. So it fails exactly when there is something to wait for.
    """
    expect = pytest.importorskip("playwright.sync_api").expect
    expect.set_options(timeout=20_000)
    return expect(locator)
