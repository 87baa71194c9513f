"""The settings of a run as they will be used: numbers instead of `none`, `auto`, and a 0 that stands for one."""

from __future__ import annotations

import re
from typing import Any

import torch

from i2i.core import config
from i2i.nets.factory import TranslationNets, resnet_blocks, unet_depth
from i2i.training.loop import default_interval
from i2i.training.run import Run
from i2i.training.settings import TrainSettings, precision_on


def resolved(run: Run, device: torch.device) -> dict[str, Any]:
    """{setting: value} of all settings whose value the run derives from others, from the data or from the device."""
    data, training, shape = run.data_settings, run.training, run.shape
    interval = default_interval(training, run.total, run.data.count)
    values: dict[str, Any] = {
        "layout": run.data.layout,
        "load": data.loaded if data.rule.resize else None,
        "flip": run.data.flip,
        "channels_in": shape.channels_in,
        "channels_out": shape.channels_out,
        "images": run.total,
        "epochs": round(run.total / max(1, run.data.count), 2),
        "precision": precision_on(device, training.precision),
        "device": str(device),
        "channels_last": _channels_last(training, device),
        "save_every": training.save_every or interval,
        "sample_every": training.sample_every or interval,
    }
    if isinstance(run.config, TranslationNets):
        if run.config.generator == "unet":
            values["depth"] = unet_depth(run.config.depth, shape.size)
        else:
            values["blocks"] = resnet_blocks(run.config.blocks, shape.size)
    return {name: value for name, value in values.items() if value is not None and run.settings.get(name) != value}


def _channels_last(training: TrainSettings, device: torch.device) -> str:
    can_be = device.type == "cuda" or (device.type == "cpu" and training.precision in ("fp32", "bf16"))
    return "no" if training.channels_last == "auto" and not can_be else training.channels_last


def meanings(run: Run) -> dict[str, str]:
    """{setting: what its 0 or `none` means} as the help texts say, such as {"ema": "no average"}."""
    words: dict[str, str] = {}
    for part in (type(run.config), type(run.data_settings), type(run.training), type(run.tricks)):
        for setting in config.settings(part):
            value = run.settings.get(setting.name)
            if value is None or (value == 0 and not isinstance(value, bool)):
                found = re.search(r"\b0: ([^;]+)" if value is not None else r"\bnone: ([^;]+)", setting.comment)
                if found:
                    words[setting.name] = found[1].strip()
    return words
