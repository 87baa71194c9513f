"""The trivial guesses that stand beside a model's scores: whoever does not beat them has learned nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i import data as datasets
from i2i.inference.evaluate_data import training_side
from i2i.media import luma

MEAN_IMAGES = 1000  # training images of which the mean image or the mean color is computed, at most


class Baselines:
    """Guesses for the target of an input, by their titles.

    Usually the mean training image, and the input itself; beside a model that enlarges, the bicubic enlargement of the
    input; beside a model that colors, the gray image, and the gray image in the mean color of the training images."""

    def __init__(self, data: datasets.Data, colorizes: bool) -> None:
        self.scale, self.colorizes = data.spec.scale, colorizes
        self.mean = None if self.scale > 1 else mean_color(data) if colorizes else mean_target(data)

    @property
    def title_of_input(self) -> str:
        """The title of the guess that is the input."""
        return "gray" if self.colorizes else "input copied" if self.scale == 1 else "bicubic"

    def of_input(self, x: Tensor, channels: int) -> Tensor | None:
        """The input [C, H, W] as a guess with that many channels; None if it has others."""
        if self.colorizes:
            return luma.gray(x[None])[0]
        return _with_channels(enlarged(x, self.scale), channels)

    def __call__(self, x: Tensor, channels: int) -> dict[str, Tensor | None]:
        """{title: guess [channels, H, W]} for the input x [C, H, W]; None where there is none."""
        if self.colorizes:
            title, mean = "mean color", self.mean
            mean = None if mean is None else luma.colored(x[None], mean.expand(1, 3, *x.shape[-2:]))[0]
        else:
            title, mean = "mean image", self.mean
        return {title: mean, self.title_of_input: self.of_input(x, channels)}


def mean_target(data: datasets.Data) -> Tensor | None:
    """The mean target [C, H, W] of the training split; None if there is none, or if its images differ in size."""
    training = training_side(data, 1)
    if training is None:
        return None
    total: Tensor | None = None
    count = min(MEAN_IMAGES, training.count)
    for i in range(count):
        y = training.item(i).x[0].double()
        if total is not None and total.shape != y.shape:
            return None
        total = y if total is None else total + y
    return None if total is None else (total / count).float()


def mean_color(data: datasets.Data) -> Tensor | None:
    """The mean color [3, 1, 1] of the targets of the training split, in [-1, 1]; None without color images there."""
    training = training_side(data, 1)
    if training is None or training.channels_in != 3:
        return None
    count = min(MEAN_IMAGES, training.count)
    means = [training.item(i).x[0].double().mean((1, 2)) for i in range(count)]
    return torch.stack(means).mean(0).float()[:, None, None]


def enlarged(x: Tensor, scale: int) -> Tensor:
    """Images [..., C, H, W] in [-1, 1], `scale` times as large by bicubic interpolation: the guess to beat."""
    if scale == 1:
        return x
    size = [side * scale for side in x.shape[-2:]]
    batch = x.reshape(-1, *x.shape[-3:])
    big = torch.nn.functional.interpolate(batch, size, mode="bicubic", antialias=True, align_corners=False)
    return big.clamp(-1, 1).reshape(*x.shape[:-2], *size)


def _with_channels(x: Tensor, channels: int) -> Tensor | None:
    """An image [C, H, W] with that many channels: itself, or gray repeated; None if neither fits."""
    if x.shape[0] == channels:
        return x
    return x.repeat(channels, 1, 1) if x.shape[0] == 1 else None
