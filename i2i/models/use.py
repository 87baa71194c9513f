"""The command that uses a saved model, as runs, reports and error messages print it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from i2i.core.errors import I2IError
from i2i.models import format as model_file


def use_command(model: str | Path, generates: bool, method: str = "", choices: Sequence[str] = ()) -> str:
    """A command that works as it is typed: it makes images from noise, or translates photo.jpg.

    method: the name of the model's method; the path of a file of the user's own is passed on as --method.
    choices: what may be chosen of its answers; of a model with domains the command makes all."""
    words = ["generate", "--grid", "images.png"] if generates else ["translate", "photo.jpg"]
    words += ["--model", str(model)]
    if "to" in choices:
        words += ["--to", "all"]
    if method.endswith(".py"):
        words += ["--method", method]
    return shlex.join(["i2i", *words])


def use_of_run(folder: str | Path) -> str | None:
    """The command that uses the model of a run; None if the run has saved no model yet."""
    try:
        path = Path(folder) / "model.safetensors"
        header = model_file.read_header(path)
    except I2IError:
        return None
    return use_command(
        folder,
        header.get("kind") == "generate",
        model_file.method_file(path, header),
        header.get("choices") or (),
    )
