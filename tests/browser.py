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
