"""Forms of networks and losses that no method of the library uses, but stored numbers of other implementations do."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from i2i.losses import input_gradient
from i2i.losses.adversarial import at_least_float32
from i2i.nets import MLPDiscriminator, MLPGenerator, ProgressiveGenerator, SelfAttention, SpectralNorm, progressive
from i2i.nets.progressive import lrelu, pixel_norm

# ---- networks ------------------------------------------------------------------------------------------------------


def with_eps(net: nn.Module, batch: float | None = None, spectral: float | None = None) -> Any:
    """`net` with other epsilons in its batch norms and spectral norms."""
    for module in net.modules():
        if batch is not None and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = batch
        if spectral is not None and isinstance(module, SpectralNorm):
            module.eps = spectral
    return net


class FreshSpectralNorm(SpectralNorm):
    """One power iteration in eval mode too, which is not kept: the BigGAN authors' code."""

    def sigma(self, weight: Tensor) -> Tensor:
        if self.training:
            return super().sigma(weight)
        matrix = self.matrix(weight)
        with torch.no_grad():
            u, v = self.iterated(matrix)
        return torch.dot(u, torch.mv(matrix, v))


def with_fresh_sigma(net: nn.Module) -> nn.Module:
    """`net` with a FreshSpectralNorm in place of each SpectralNorm."""
    for module in net.modules():
        if type(module) is SpectralNorm:
            module.__class__ = FreshSpectralNorm
    return net


class FullAttention(SelfAttention):
    """Self-attention over all positions, without pooling.

    share 8: values of C/8 channels (the paper's equations); 1: of C channels, without the last convolution (DeOldify).
    """

    def __init__(self, channels: int, wrap: Callable[[nn.Module], nn.Module] | None = None, share: int = 8) -> None:
        super().__init__(channels, wrap)

        def conv1(before: int, after: int) -> nn.Module:
            layer = nn.Conv2d(before, after, 1, bias=False)
            nn.init.xavier_uniform_(layer.weight)
            return wrap(layer) if wrap else layer

        inner = max(1, channels // share)
        self.value = conv1(channels, inner)
        self.out = conv1(inner, channels) if share > 1 else nn.Identity()

    def pooled(self, x: Tensor) -> Tensor:
        return x


class EmbeddedMLPGenerator(MLPGenerator):
    """An MLPGenerator told the class by an embedding of width `embed`, joined before z."""

    def __init__(self, z: int, *args: Any, classes: int, embed: int, **kwargs: Any) -> None:
        super().__init__(z + embed, *args, **kwargs)
        self.embedding = nn.Embedding(classes, embed)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([self.embedding(c), z], 1))


class EmbeddedMLPDiscriminator(MLPDiscriminator):
    """An MLPDiscriminator told the class by an embedding of width `embed`, joined after the pixels."""

    def __init__(self, channels: int, size: int, *args: Any, classes: int, embed: int, **kwargs: Any) -> None:
        super().__init__(channels, size, *args, **kwargs)
        self.embedding = nn.Embedding(classes, embed)
        first = self.model[0]
        assert isinstance(first, nn.Linear)
        self.model[0] = nn.Linear(first.in_features + embed, first.out_features)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([x.flatten(1), self.embedding(c)], 1))


class UnnormalizedProgressiveGenerator(ProgressiveGenerator):
    """The 4x4 map is not normalized before its convolution."""

    def first_map(self, z: Tensor) -> Tensor:
        h = lrelu(self.dense(pixel_norm(z)).view(len(z), -1, 4, 4) + self.bias)
        return pixel_norm(lrelu(self.conv(h)))


@contextlib.contextmanager
def progressive_widths(widths: Sequence[int]) -> Iterator[None]:
    """Inside, Progressive GAN's networks have these channels from 4 pixels on."""

    def channels_at(size: int, *_: int) -> int:
        return widths[int(math.log2(size)) - 2]

    with mock.patch.object(progressive, "channels_at", channels_at):
        yield


def minibatch_deviation(
    x: Tensor, group: int = 4, features: int = 1, contiguous: bool = False, unbiased: bool = False
) -> Tensor:
    """`progressive.minibatch_deviation` over as many equal parts of the channels as `features` says.

    contiguous: groups of neighbours. unbiased: squares over n - 1."""
    count, channels, height, width = x.shape
    group = next(g for g in range(min(group, count), 0, -1) if count % g == 0)
    order = (count // group, group) if contiguous else (group, count // group)
    parts = x.view(*order, features, channels // features, height, width)
    axis = 1 if contiguous else 0
    centered = parts - parts.mean(axis, keepdim=True)
    variance = centered.square().sum(axis) / max(1, group - unbiased)
    deviation = (variance + 1e-8).sqrt().mean((2, 3, 4))  # [groups, features]
    deviation = deviation.repeat_interleave(group, 0) if contiguous else deviation.repeat(group, 1)
    return deviation[..., None, None].expand(-1, -1, height, width)


@contextlib.contextmanager
def contiguous_deviation() -> Iterator[None]:
    """Inside, Progressive GAN's discriminator takes the unbiased deviation of contiguous groups."""
    form = functools.partial(minibatch_deviation, contiguous=True, unbiased=True)
    with mock.patch.object(progressive, "minibatch_deviation", form):
        yield


# ---- losses --------------------------------------------------------------------------------------------------------


def centered_penalty(
    D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor, center: float = 1.0, relu: bool = False
) -> Tensor:
    """`gradient_penalty` around another norm than 1. relu: norms below are free (Petzka et al. 2017, 1709.08894)."""
    alpha = alpha.to(real).view(-1, *[1] * (real.ndim - 1))
    over = (input_gradient(D, alpha * real + (1 - alpha) * fake) + 1e-16).norm(dim=1) - center
    return (over.relu() if relu else over).square().mean()


def fully_orthogonal(weight: Tensor) -> Tensor:
    """0.5 || W W^T - I ||_F^2 (Brock et al. 2016, arXiv 1609.07093)."""
    rows = at_least_float32(weight).flatten(1)
    return 0.5 * (rows @ rows.T - torch.eye(len(rows), dtype=rows.dtype)).square().sum()


def gaussian_nll(x: Tensor, mean: Tensor, variance: Tensor, eps: float = 0.0) -> Tensor:
    """-log N(x; mean, variance) with `eps` where public code has it: in the logarithm and under the square."""
    log = 0.5 * (2 * math.pi * variance + eps).log()
    return (log + (x - mean).square() / (2 * variance + eps)).sum(1).mean()
