"""The method file that a saved model needs, where its author defined the network in a method of their own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from i2i import nets
from i2i.core.errors import I2IError, MethodNeeded, nearest


def method_file(path: Path, header: Mapping[str, Any]) -> str:
    """The method file that the model at `path` needs: the copy beside it in its run's folder, or else its name.

    Empty for a model of an installed method."""
    if not str(header.get("method", "")).endswith(".py"):
        return ""
    beside = path.with_name("method.py")
    return str(beside) if beside.is_file() else _file_name(header)


def _file_name(header: Mapping[str, Any]) -> str:
    """The name of the method's file; models of version 0.1 hold the whole path on their author's machine."""
    return str(header.get("method", "")).replace("\\", "/").rpartition("/")[2]


def unknown_network(path: Path, kind: str, header: Mapping[str, Any]) -> I2IError:
    """The error for a network whose class no installed method defines."""
    file = method_file(path, header)
    if not file:
        installed = [name for name in nets.NETWORKS if not name.startswith("method.")]
        return I2IError(
            f"{path} needs a network of type {kind!r}, which no installed method defines.",
            f"{nearest(kind, installed)} If a method file of your own defines it, give that file with --method FILE "
            "(method= in Python); the code in it is then run.",
        )
    return MethodNeeded(
        f"{path} was trained by a method of its author's own, {_file_name(header)}, and needs the code in that file.",
        f"If you trust that file, name it, and its code is run: --method {shlex.quote(file)} (method= in Python).",
        file,
    )
