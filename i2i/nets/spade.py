"""Normalization that a label map modulates at each position (SPADE).

Park et al., Semantic Image Synthesis with Spatially-Adaptive Normalization, 2019, arXiv 1903.07291, section 3.1.
A layer for networks of your own: no network of i2i contains it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.nets.blocks import check, instance_norm


class SpatialNorm(nn.Module):
    """(1 + gain) * normalized(x) + bias, where gain and bias are maps that convolutions make of the label map.

    channels: of x. classes: channels of the label map. hidden: channels between. norm: instance (each image by itself)
    or batch (the statistics of the batch, also in eval mode). Raises I2IError for another norm."""

    def __init__(self, channels: int, classes: int, hidden: int = 128, norm: str = "instance") -> None:
        super().__init__()
        check("norm", norm, ("instance", "batch"))
        self.norm = norm
        self.shared = nn.Conv2d(classes, hidden, 3, padding=1)
        self.gain, self.bias = (nn.Conv2d(hidden, channels, 3, padding=1) for _ in range(2))

    def normalized(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] with mean 0 and variance 1, without parameters."""
        if self.norm == "instance":
            return instance_norm(x)
        return fn.batch_norm(x, None, None, training=True)

    def maps(self, labels: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """(1 + gain, bias), each [B, channels, height, width], of a one-hot map [B, classes, h, w] of any size."""
        h = fn.relu(self.shared(fn.interpolate(labels, (height, width), mode="nearest")))
        return 1 + self.gain(h), self.bias(h)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """x [B, channels, H, W], labels one-hot [B, classes, h, w] -> [B, channels, H, W]."""
        gain, bias = self.maps(labels, *x.shape[2:])
        return self.normalized(x) * gain + bias
