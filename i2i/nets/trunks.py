"""AlexNet's and VGG16's convolutions: what LPIPS, DISTS and perceptual losses look at. Not trained here.

Both take images as the caller normalizes them, and give a list of feature maps. Their parameters are called conv0,
conv1, ... in order, as in the weight files of LPIPS.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VGG_GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
ALEX = (
    (64, 11, 4, 2),
    (192, 5, 1, 2),
    (384, 3, 1, 1),
    (256, 3, 1, 1),
    (256, 3, 1, 1),
)  # width, kernel, stride, padding
ALEX_POOLED = (1, 2)  # convolutions with a max-pool of 3 and stride 2 in front
ALEX_LEAST, VGG_LEAST = 31, 16  # pixels a side that leave at least one position in the last map


class AlexNet(nn.Module):
    """The five convolutions of AlexNet in torchvision's form (Krizhevsky 2014, arXiv 1404.5997).

    Images [B, 3, H, W] with sides of at least 31 pixels -> the five ReLU outputs (64, 192, 384, 256, 256 channels)."""

    widths = tuple(width for width, *_ in ALEX)
    least = ALEX_LEAST

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for i, (width, kernel, stride, padding) in enumerate(ALEX):
            self.add_module(f"conv{i}", nn.Conv2d(before, width, kernel, stride, padding))
            before = width

    def forward(self, x: Tensor) -> list[Tensor]:
        taps = []
        for i in range(len(ALEX)):
            x = F.max_pool2d(x, 3, 2) if i in ALEX_POOLED else x
            x = F.relu(self.get_submodule(f"conv{i}")(x))
            taps.append(x)
        return taps


class VGG16(nn.Module):
    """The 13 convolutions of VGG16 (Simonyan and Zisserman 2014, arXiv 1409.1556).

    Images [B, 3, H, W] with sides of at least 16 pixels -> the last ReLU output of each of the five groups, of 64, 128,
    256, 512, 512 channels. pool: what lies between the groups and halves the sides; None: maxima of 2 x 2."""

    widths = tuple(group[-1] for group in VGG_GROUPS)
    least = VGG_LEAST

    def __init__(self, pool: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.pool = pool or (lambda x: F.max_pool2d(x, 2))
        before, i = 3, 0
        for group in VGG_GROUPS:
            for width in group:
                self.add_module(f"conv{i}", nn.Conv2d(before, width, 3, 1, 1))
                before, i = width, i + 1

    def forward(self, x: Tensor) -> list[Tensor]:
        taps: list[Tensor] = []
        i = 0
        for group in VGG_GROUPS:
            x = self.pool(x) if taps else x
            for _ in group:
                x = F.relu(self.get_submodule(f"conv{i}")(x))
                i += 1
            taps.append(x)
        return taps


def l2_pool(x: Tensor) -> Tensor:
    """Feature maps [B, C, H, W] -> [B, C, ceil(H / 2), ceil(W / 2)]: the root of the blurred square (Henaff 2016).

    The window is a 3 x 3 Hanning window; its zeros outside the map count."""
    ramp = torch.tensor([0.5, 1.0, 0.5], dtype=x.dtype, device=x.device)
    window = torch.outer(ramp, ramp)
    window = (window / window.sum()).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()
