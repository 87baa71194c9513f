"""Fully connected pairs for small images, as in the first GANs, and the maxout layer (Goodfellow et al. 2013)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2i.nets.registry import Network, register


class Maxout(nn.Module):
    """[B, before] -> [B, after], each the largest of `pieces` linear functions (arXiv 1302.4389)."""

    def __init__(self, before: int, after: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(before, after * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """[B, before] -> [B, after]."""
        found: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)
        return found


def uniform_weights(net: nn.Module, bound: float) -> nn.Module:
    """Linear weights anew in place, uniform on [-bound, bound], biases 0; bound 0 leaves them. Returns `net`."""
    for module in net.modules():
        if isinstance(module, nn.Linear) and bound > 0:
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
    return net


@register("mlp_g")
class MLPGenerator(Network):
    """z [B, z] (and a class c [B]) -> images [B, channels, size, size] in [-1, 1] by dense layers.

    hidden: widths; each layer is followed by leaky ReLU of `slope` (0: ReLU), with `norm` all but the first by batch
    norm before it. classes > 0: an embedding of width `embed` is joined before z.
    """

    def __init__(
        self,
        z: int = 100,
        channels: int = 1,
        size: int = 28,
        hidden: Sequence[int] = (1200, 1200),
        slope: float = 0.0,
        norm: bool = False,
        classes: int = 0,
        embed: int = 0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        self.embedding = nn.Embedding(classes, embed) if classes else None
        layers: list[nn.Module] = []
        plan = [z + (embed if classes else 0), *hidden]
        for k, (before, after) in enumerate(itertools.pairwise(plan)):
            layers += [nn.Linear(before, after)]
            layers += [nn.BatchNorm1d(after, eps=eps)] if norm and k else []
            layers += [nn.LeakyReLU(slope)]
        self.model = nn.Sequential(*layers, nn.Linear(plan[-1], math.prod(self.shape)), nn.Tanh())

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [B, z] and, with classes, c int64 [B] -> [B, channels, size, size]."""
        if self.embedding is not None:
            z = torch.cat([self.embedding(c), z], 1)
        made: Tensor = self.model(z)
        return made.view(-1, *self.shape)


@register("mlp_d")
class MLPDiscriminator(Network):
    """Images [B, channels, size, size] (and a class c [B]) -> raw scores [B] by dense layers.

    pieces > 1: maxout layers, else leaky ReLU of `slope`. dropout: share of hidden units (with leaky ReLU not of the
    first layer), input_dropout: of pixels. classes > 0: an embedding of width `embed` is joined after the pixels.
    """

    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        hidden: Sequence[int] = (240, 240),
        pieces: int = 1,
        slope: float = 0.2,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        classes: int = 0,
        embed: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embed) if classes else None
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        plan = [channels * size * size + (embed if classes else 0), *hidden]
        for k, (before, after) in enumerate(itertools.pairwise(plan)):
            if pieces > 1:
                layers += [Maxout(before, after, pieces)] + ([nn.Dropout(dropout)] if dropout else [])
            else:
                layers += [nn.Linear(before, after)] + ([nn.Dropout(dropout)] if dropout and k else [])
                layers += [nn.LeakyReLU(slope)]
        self.model = nn.Sequential(*layers, nn.Linear(plan[-1], 1))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x [B, channels, size, size] and, with classes, c int64 [B] -> [B]."""
        h = x.flatten(1)
        if self.embedding is not None:
            h = torch.cat([h, self.embedding(c)], 1)
        scores: Tensor = self.model(h)
        return scores.squeeze(1)
