"""Weights by others: where their files may lie, and one download if they are nowhere.

They are looked for in the folder that the environment variable I2I_WEIGHTS names, then in the cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from i2i.core.progress import Progress
from i2i.core.resources import cache_folder
from i2i.data import download


def here(names: Sequence[str]) -> Path | None:
    """The first file with one of these names that is on this disk."""
    own = os.environ.get("I2I_WEIGHTS")
    folders = [*([Path(own).expanduser()] if own else []), _cache()]
    files = (folder / name for folder in folders for name in names)
    return next((file for file in files if file.is_file()), None)


def get(names: Sequence[str], url: str, max_bytes: int, progress: Progress | None = None) -> Path:
    """The file with one of these names; if it is nowhere, `url` is downloaded under the first of them.

    The hash of the first download is recorded beside it, and must be that of each later one. Raises I2IError if the
    download fails."""
    if (file := here(names)) is not None:
        return file
    target = _cache() / names[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    record = target.with_name(f"{target.name}.sha256")
    return download.fetch(url, target, max_bytes=max_bytes, progress=progress, record=record)


def _cache() -> Path:
    return cache_folder() / "weights"
