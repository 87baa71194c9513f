"""How a saved model finds networks that the file of a method defines.

`i2i.models` reads saved models and may not import `i2i.methods`, which stands above it. `i2i/__init__.py` stands above
both and registers the importer here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from i2i.core.errors import I2IWarning


class MethodImporter(Protocol):
    """Imports a method, whose file registers its networks."""

    def __call__(self, method: str, *, own_file: bool, networks: Sequence[str]) -> bool:
        """own_file: `method` is the path of a Python file that may be run; otherwise only installed methods count.

        networks: types of networks that a saved model needs. Returns True if they come from a file that has changed
        since the model was trained."""


_importers: list[MethodImporter] = []


def register_importer(importer: MethodImporter) -> MethodImporter:
    """Adds an importer of methods."""
    _importers.append(importer)
    return importer


def import_installed(method: str) -> None:
    """Imports the method of that name if it is installed; does nothing for any other text.

    The name may come from a file that nobody trusts: it is compared with the installed names, never imported itself.
    """
    for importer in _importers:
        importer(method, own_file=False, networks=())


def import_file(path: str | Path, networks: Sequence[str] = ()) -> None:
    """Runs the method file `path`. The caller has the user's consent.

    networks: types of networks that a saved model needs. Warns if the model was trained with another content of the
    file. Raises I2IError if the file defines no method."""
    for importer in _importers:
        if importer(str(path), own_file=True, networks=networks):
            warnings.warn(
                f"{path} has been edited since the model was trained with it; the images may differ.",
                I2IWarning,
                stacklevel=3,
            )
