"""Twice the size by a pixel shuffle, without a checkerboard at the start: ICNR weights, and a blur of 2 x 2 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils import parametrizations

from i2i.nets.blocks import BatchNorm, pad
from i2i.nets.spectral import spectral_norm


def icnr(channels_out: int, channels_in: int, factor: int = 2) -> Tensor:
    """A weight [factor^2 channels_out, channels_in, 1, 1] of a convolution before a pixel shuffle.

    The factor^2 filters of each new channel are equal, so that convolution and shuffle are a nearest-neighbor
    enlargement at the start (Aitken et al. 2017, arXiv 1707.02937)."""
    weight = torch.empty(channels_out, channels_in, 1, 1)
    nn.init.kaiming_normal_(weight)
    return weight.repeat_interleave(factor**2, 0)


def blurred(x: Tensor) -> Tensor:
    """[B, C, H, W] -> the same shape: the mean of each pixel and its neighbors above, to the left, and between them."""
    return fn.avg_pool2d(pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class BlurredShuffle(nn.Module):
    """[B, channels_in, H, W] -> [B, channels_out, 2 H, 2 W]: convolution 1x1, ReLU, pixel shuffle, blur.

    normed: the convolution has spectral normalization, no bias, and batch norm behind it; else weight normalization
    (weight = g v / |v| for each filter) and a bias."""

    def __init__(self, channels_in: int, channels_out: int, normed: bool = True) -> None:
        super().__init__()
        conv = nn.Conv2d(channels_in, 4 * channels_out, 1, bias=not normed)
        with torch.no_grad():
            conv.weight.copy_(icnr(channels_out, channels_in))
            if conv.bias is not None:
                conv.bias.zero_()
        if normed:
            self.conv = nn.Sequential(spectral_norm(conv), BatchNorm(4 * channels_out))
        else:
            self.conv = nn.Sequential(parametrizations.weight_norm(conv))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, 2 H, 2 W]."""
        return blurred(fn.pixel_shuffle(self.conv(x).relu(), 2))
