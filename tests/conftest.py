"""Imported before all tests: i2i lets idle threads sleep, which only works before torch is loaded."""

import i2i  # noqa: F401
