"""Folders that users give as a model: runs of i2i, and checkpoints by the authors of pix2pix, CycleGAN and CUT.

The authors write a file for each network: latest_net_G.pth, or latest_net_G_A.pth (A to B) and latest_net_G_B.pth
(B to A), and the same with the number of an epoch in place of `latest`.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from i2i.core.errors import I2IError, NoDirection
from i2i.models import content, pth_ways

GENERATOR = re.compile(r"(latest|\d+)_net_G(?:_([AB]))?(\..+)", re.DOTALL)  # epoch, side, suffix
MOST_LISTED = 5


def model_inside(folder: Path) -> Path:
    """The model's file in a folder; of two directions that for A to B. Raises I2IError that says what the folder holds.

    A folder of several epochs has the latest."""
    file = _model_in(folder)
    if file is not None:
        return file
    runs = sorted(inner for inner in folder.iterdir() if inner.is_dir() and _model_in(inner) is not None)
    if runs:
        both = [run.name for run in runs if _has_both(run)][:MOST_LISTED]
        more = f" For B to A of {', '.join(both)}, add --direction BtoA." if both else ""
        raise I2IError(
            f"{folder} holds {len(runs)} run{'' if len(runs) == 1 else 's'}.",
            f"Give one of them: {' or '.join(shlex.quote(str(run)) for run in runs[:MOST_LISTED])}.{more}",
        )
    if (folder / "config.yaml").is_file():
        raise I2IError(
            f"The run {folder} has saved no model yet.", f"Go on with: i2i train --resume {shlex.quote(str(folder))}"
        )
    files = sorted(file for file in folder.iterdir() if file.is_file() and content.has_suffix(file.name))
    if files:
        listed = ", ".join(file.name for file in files[:MOST_LISTED])
        rest = f" and {len(files) - MOST_LISTED} others" if len(files) > MOST_LISTED else ""
        raise I2IError(
            f"The folder {folder} holds no model that is called latest_net_G.pth or model.safetensors, but {listed}"
            f"{rest}.",
            f"Give the file of a generator: --model {shlex.quote(str(_likely(files)))}",
        )
    raise I2IError(f"The folder {folder} holds no model.", "Give a run's folder, or a name that `i2i models` lists.")


def holds_model(folder: Path) -> bool:
    """Whether a folder is a run, or a folder of checkpoints: no folder of outputs."""
    return (folder / "config.yaml").is_file() or _model_in(folder) is not None


def file_for(path: Path, direction: str) -> Path:
    """The authors' file for a direction, AtoB or BtoA: `path` itself, or the file beside it of the other side.

    `path` itself serves any direction that is not denied by a name like latest_net_G_A.pth or netG_A2B.pth. Raises
    I2IError if there is no such file."""
    if direction == "AtoB":
        return path
    match = GENERATOR.fullmatch(path.name)
    other = path.with_name(f"{match[1]}_net_G_B{match[3]}") if match and match[2] else pth_ways.file_back(path)
    if other is None:
        raise NoDirection(f"{path} holds one network, for one direction.", "Leave out --direction.")
    if not other.is_file():
        raise NoDirection(f"{path} translates A to B, and {other.name} is not beside it.", "Leave out --direction.")
    return other


def _model_in(folder: Path) -> Path | None:
    """model.safetensors, else the latest generator of the authors' checkpoints, for A to B if there are two."""
    if (folder / "model.safetensors").is_file():
        return folder / "model.safetensors"
    files = [(match, file) for file in folder.glob("*_net_G*.pth") if (match := GENERATOR.fullmatch(file.name))]
    epochs = {
        (float("inf") if match[1] == "latest" else int(match[1]), match[2] is None): file
        for match, file in files
        if match[2] != "B" and match[3] == ".pth"
    }
    return epochs[max(epochs)] if epochs else None


def _has_both(folder: Path) -> bool:
    file = _model_in(folder)
    match = file and GENERATOR.fullmatch(file.name)
    return bool(file and match and match[2] == "A" and file.with_name(f"{match[1]}_net_G_B.pth").is_file())


def _likely(files: list[Path]) -> Path:
    """The file that is most likely a generator, by its name."""
    return next((file for file in files if "_G" in file.name or "gen" in file.name.lower()), files[0])
