"""Optional packages: one import, one sentence when it is missing, one way to write the command that installs it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from i2i.core.errors import I2IError

DISTRIBUTION = "i2i-toolkit"  # on the package index; the name i2i belongs to another project there


def install_hint(extra: str) -> str:
    """The command that installs i2i with an extra: pip install 'i2i-toolkit[video]'."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def require(module: str, extra: str, why: str, package: str = "") -> Any:
    """Imports `module`, which the extra installs.

    why: the subject of the error's sentence, such as "Writing .mp4 videos". package: the name people know the module
    by, if it is another one. Raises I2IError with the command that installs the extra if the module is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise I2IError(f"{why} needs {package or module}, which is not installed.", install_hint(extra)) from error


def try_import(module: str) -> Any | None:
    """Imports `module` if it is installed, else None: for what works without it, only less well."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def is_installed(module: str) -> bool:
    """True if `module` can be imported; it is not imported yet."""
    return importlib.util.find_spec(module) is not None
