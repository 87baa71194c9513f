"""Folders: where i2i finds what is shipped with it, and where it keeps what it downloads."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from i2i.core.errors import I2IError


def shipped(kind: str) -> Path:
    """The folder of shipped "datasets", "recipes", "models" or "protocols".

    It lies beside the package in a checkout, else inside it.

    Raises I2IError if it is missing."""
    package = Path(__file__).resolve().parents[1]
    is_checkout = (package.parent / "pyproject.toml").is_file()  # an installed i2i lies beside other packages
    folder = package.parent / kind if is_checkout else package / "_shipped" / kind
    if folder.is_dir():
        return folder
    raise I2IError(f"The folder {kind}/ that belongs to i2i is missing.", "Install i2i again.")


def cache_folder() -> Path:
    """The folder of downloads, converted models and decoded images. The environment variable I2I_CACHE moves it."""
    moved = os.environ.get("I2I_CACHE")
    return Path(moved).expanduser() if moved else Path(platformdirs.user_cache_path("i2i"))
