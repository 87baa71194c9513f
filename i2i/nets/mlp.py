"""Fully connected networks for small images, as in the first GANs, and the maxout layer (Goodfellow et al. 2013)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from i2i.core.config import Channels, Side, Width
from i2i.nets.registry import Network, register


class Maxout(nn.Module):
    """[B, before] -> [B, after]: each output is the largest of `pieces` linear functions (arXiv 1302.4389)."""

    def __init__(self, before: int, after: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(before, after * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """[B, before] -> [B, after]."""
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


def uniform_weights(net: nn.Module, bound: float) -> nn.Module:
    """Draws the weights of linear layers from [-bound, bound] and sets biases to 0, in place; returns `net`.

    bound 0: nothing changes."""
    for module in net.modules():
        if isinstance(module, nn.Linear) and bound > 0:
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
    return net


@register("mlp_g", former={"classes": 0, "embed": 0, "eps": 1e-5})
class MLPGenerator(Network):
    """z [B, z] -> images [B, channels, size, size] in [-1, 1] by linear layers.

    hidden: widths of the hidden layers, each followed by leaky ReLU of `slope` (0: ReLU). norm: batch norm before it,
    except in the first layer.
    """

    def __init__(
        self,
        z: Width = 100,
        channels: Channels = 1,
        size: Side = 28,
        hidden: Sequence[Width] = (1200, 1200),
        slope: float = 0.0,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        layers: list[nn.Module] = []
        widths = [z, *hidden]
        for k, (before, after) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Linear(before, after)]
            layers += [nn.BatchNorm1d(after)] if norm and k else []
            layers += [nn.LeakyReLU(slope)]
        self.model = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(self.shape)), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """z [B, z] -> [B, channels, size, size] in [-1, 1]."""
        return self.model(z).view(-1, *self.shape)


@register("mlp_d", former={"classes": 0, "embed": 0})
class MLPDiscriminator(Network):
    """Images [B, channels, size, size] -> raw scores [B] by linear layers.

    hidden: widths of the hidden layers. pieces: above 1, maxout layers of that many pieces; 1: leaky ReLU of `slope`.
    dropout: share of hidden units left out (with leaky ReLU not in the first layer). input_dropout: share of pixels.
    """

    def __init__(
        self,
        channels: Channels = 1,
        size: Side = 28,
        hidden: Sequence[Width] = (240, 240),
        pieces: Width = 1,
        slope: float = 0.2,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        widths = [channels * size * size, *hidden]
        for k, (before, after) in enumerate(itertools.pairwise(widths)):
            if pieces > 1:
                layers += [Maxout(before, after, pieces)] + ([nn.Dropout(dropout)] if dropout else [])
            else:
                layers += [nn.Linear(before, after)] + ([nn.Dropout(dropout)] if dropout and k else [])
                layers += [nn.LeakyReLU(slope)]
        self.model = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, channels, size, size] -> raw scores [B]."""
        return self.model(x.flatten(1)).squeeze(1)
