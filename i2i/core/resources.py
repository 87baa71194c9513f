"""Where i2i finds what is shipped with it, and where it keeps what it fetched."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from i2i.core.errors import I2IError


def shipped(kind: str) -> Path:
    """The folder of what is shipped ("datasets", "recipes", "models"): beside the package in a checkout, else in it."""
    package = Path(__file__).resolve().parents[1]
    checkout = (package.parent / "pyproject.toml").is_file()  # beside an installed i2i lie other packages' folders
    place = package.parent / kind if checkout else package / "_shipped" / kind
    if place.is_dir():
        return place
    raise I2IError(f"The folder {kind}/ that belongs to i2i is missing.", "Install i2i again.")


def cache_folder() -> Path:
    """Where downloads and decoded images are kept; the variable I2I_CACHE moves it."""
    moved = os.environ.get("I2I_CACHE")
    return Path(moved).expanduser() if moved else Path(platformdirs.user_cache_path("i2i"))
