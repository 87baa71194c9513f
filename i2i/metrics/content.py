"""Content losses: how far apart two images are in the maps of a trained network, beyond their pixels.

Differentiable, so that generators can be trained by them: SRGAN (Ledig et al. 2016), ESRGAN and DeOldify do so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.metrics.feature_networks import vgg_state
from i2i.metrics.perceptual import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    LPIPS_DEVIATION,
    LPIPS_MEAN,
    load_exactly,
)
from i2i.nets.efficientnet import EfficientNetLite0
from i2i.nets.trunks import VGG16, AlexNet


class _Network(NamedTuple):
    """A network, what it subtracts from values in [-1, 1] and divides them by, and the least side of an image."""

    make: Callable[[], nn.Module]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    least: int


def _of_unit(values: tuple[float, ...], shift: float) -> tuple[float, ...]:
    """Means (shift 1) or deviations (shift 0) of values in [0, 1] as those of values in [-1, 1]."""
    return tuple(2 * v - shift for v in values)


NETWORKS = {
    "vgg16": _Network(VGG16, _of_unit(IMAGENET_MEAN, 1), _of_unit(IMAGENET_DEVIATION, 0), VGG16.least),
    "alex": _Network(AlexNet, LPIPS_MEAN, LPIPS_DEVIATION, AlexNet.least),
    "effnet": _Network(EfficientNetLite0, (-1 / 255,) * 3, (256 / 255,) * 3, EfficientNetLite0.least),
}


class ContentLoss(nn.Module):
    """How far apart two batches of images [B, 1 or 3, H, W] in [-1, 1] are in the maps of a network; a scalar.

    The mean over its maps of mean |a - b| / mean |b|, where b is the map of the second batch: 0 for equal images, about
    1 for unrelated ones, so that one weight suits every network. Gray images are repeated to three channels, alpha is
    left out. name: vgg16 (the end of each of its five groups), alex (its five convolutions) or effnet (the ends of its
    stages at a half to a sixteenth of the size). weights: by the names of those networks here, or torchvision's.
    Raises I2IError for other weights, and for images that are too small when it is called."""

    def __init__(self, name: str, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        made = NETWORKS[name]
        self.name, self.least, self.net = name, made.least, made.make()
        state = {k: v for k, v in weights.items() if not k.startswith("lin")}
        load_exactly(self.net, vgg_state(state) if name == "vgg16" else state, f"weights of {name}")
        for title, values in (("mean", made.mean), ("deviation", made.deviation)):
            self.register_buffer(title, torch.tensor(values)[:, None, None])
        self.eval().requires_grad_(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps of images [B, 1 to 4, H, W] in [-1, 1]; 2 channels are gray and alpha."""
        if min(x.shape[-2:]) < self.least:
            raise I2IError(
                f"The content loss of {self.name} needs images of at least {self.least} pixels a side, but they have "
                f"{x.shape[-1]}x{x.shape[-2]}.",
                "Choose a larger size, or content=none.",
            )
        x = (x[:, :3] if x.shape[1] >= 3 else x[:, :1]).expand(-1, 3, -1, -1)
        x = (x - self.get_buffer("mean")) / self.get_buffer("deviation")
        return self.net.maps(x) if isinstance(self.net, EfficientNetLite0) else self.net(x)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """[B, C, H, W] twice -> a scalar; no gradient goes into `real`."""
        with torch.no_grad():
            wanted = self.maps(real)
        parts = [(a - b).abs().mean() / (b.abs().mean() + 1e-6) for a, b in zip(self.maps(fake), wanted, strict=True)]
        return torch.stack(parts).mean()
