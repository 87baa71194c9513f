"""At the end of a training: how near the model in bf16 is to fp32, so that translating may take bf16 on CPUs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from i2i import data
from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.methods._bases import TwoWay
from i2i.models.format import read_header
from i2i.models.measured import measure_file
from i2i.models.precision import IMAGES
from i2i.training.run import Run

FEWEST = 100  # images of a training that is worth the measurement


def measure_lowered(run: Run, path: Path) -> None:
    """Measures the model of a run at `path` on held-out images, and writes the result into its header.

    Nothing happens without held-out images, for models that do not translate, after a training on a GPU (its CPU may
    be slow; `i2i models pack --measure` does it) and after a very short one."""
    split = next((s for s in ("test", "val") if s in run.data.splits), None)
    translates = run.method.needs in ("paired", "unpaired") and run.data.layout in ("paired", "unpaired")
    on_cpu = device_of(run.training.device).type == "cpu"
    if split is None or not (translates and on_cpu and path.is_file()) or run.total < FEWEST:
        return
    batch = data.open(run.sources, run.data_settings, split, cropped=True).fixed(IMAGES)
    images = {"AtoB": batch.x}
    if issubclass(run.method, TwoWay) and batch.y is not None and "F" in read_header(path)["networks"]:
        images["BtoA"] = batch.y
    with contextlib.suppress(I2IError, RuntimeError):  # a network that bf16 cannot compute is translated in fp32
        measure_file(path, images)
