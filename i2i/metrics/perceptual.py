"""Perceptual distances between an image and its target, by the features of a trained network: LPIPS and DISTS.

Both take RGB images [B, 3, H, W] in [-1, 1] and give one distance per image, [B]; smaller is better, 0 means equal.
They can be differentiated. Name the network beside every number: LPIPS on AlexNet and on VGG16 disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.nets.trunks import VGG16, AlexNet, l2_pool

# LPIPS shifts and scales images in [-1, 1]; DISTS shifts and scales images in [0, 1] (ImageNet's mean and deviation).
LPIPS_MEAN, LPIPS_DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DISTS_STABLE = 1e-6  # c1 and c2 of its two quotients


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018, arXiv 1801.03924).

    The channels of each feature map are divided by their norm; the squared differences of the two images are weighted
    by the non-negative `lin0`, `lin1`, ... and averaged over positions. weights: conv0.weight, conv0.bias, ...,
    lin0.weight, ...; the number of convolutions tells AlexNet (5) from VGG16 (13). Raises I2IError for other weights,
    and, when called, for images of other or different shapes."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.name = "alex" if "conv5.weight" not in weights else "vgg"
        self.trunk: AlexNet | VGG16 = AlexNet() if self.name == "alex" else VGG16()
        for i, width in enumerate(self.trunk.widths):
            self.register_buffer(f"lin{i}", torch.empty(1, width, 1, 1))
        state = {f"trunk.{k}" if k.startswith("conv") else k.removesuffix(".weight"): v for k, v in weights.items()}
        load_exactly(self, state, "weights of LPIPS")
        self.eval().requires_grad_(False)

    def taps(self, fake: Tensor, real: Tensor) -> Tensor:
        """The five parts of the distance, [B, 5]."""
        check_pair(fake, real, self.trunk.least)
        return self.between(self.features(fake), self.features(real))

    def features(self, images: Tensor) -> list[Tensor]:
        """What is compared of images [B, 3, H, W]: five feature maps, divided by their norm over channels."""
        mean, deviation = _per_channel(LPIPS_MEAN, images), _per_channel(LPIPS_DEVIATION, images)
        return [_unit(maps) for maps in self.trunk((images - mean) / deviation)]

    def between(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        """The five parts of the distance, [B, 5], of the `features` of two images."""
        parts = [
            ((a - b).square() * self.get_buffer(f"lin{i}")).sum(1).mean((1, 2))
            for i, (a, b) in enumerate(zip(fake, real, strict=True))
        ]
        return torch.stack(parts, 1)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        return self.taps(fake, real).sum(1)


class DISTS(nn.Module):
    """Deep image structure and texture similarity (Ding et al. 2020, arXiv 2004.07728), on VGG16 with L2 pooling.

    1 - the weighted mean of two similarities of every feature map: of the means (alpha) and of the structure (beta).
    weights: conv0.weight, ..., conv12.bias, alpha, beta. The authors shrink images whose shorter side exceeds 256
    pixels; here the images are compared as they are. Raises I2IError as LPIPS does."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.trunk = VGG16(l2_pool)
        channels = 3 + sum(self.trunk.widths)
        self.alpha: Tensor
        self.beta: Tensor
        for name in ("alpha", "beta"):
            self.register_buffer(name, torch.empty(1, channels, 1, 1))
        state = {f"trunk.{k}" if k.startswith("conv") else k: v for k, v in weights.items() if not k.startswith("lin")}
        load_exactly(self, state, "weights of DISTS")
        self.eval().requires_grad_(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        check_pair(fake, real, self.trunk.least)
        mean, deviation = _per_channel(IMAGENET_MEAN, fake), _per_channel(IMAGENET_DEVIATION, fake)
        a, b = ((x + 1) / 2 for x in (fake, real))
        features = [[x, *self.trunk((x - mean) / deviation)] for x in (a, b)]
        textures, structures = [], []
        for p, q in zip(*features):
            mean_p, mean_q = p.mean((2, 3)), q.mean((2, 3))
            variance_p, variance_q = p.var((2, 3), correction=0), q.var((2, 3), correction=0)
            covariance = (p * q).mean((2, 3)) - mean_p * mean_q
            textures.append(_quotient(2 * mean_p * mean_q, mean_p.square() + mean_q.square()))
            structures.append(_quotient(2 * covariance, variance_p + variance_q))
        total = self.alpha.sum() + self.beta.sum()
        similarity = self.alpha.flatten() * torch.cat(textures, 1) + self.beta.flatten() * torch.cat(structures, 1)
        return 1 - similarity.sum(1) / total


def load_exactly(net: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Fills every parameter and buffer of `net`, as 32-bit numbers; counters of batches may be missing.

    Raises I2IError if names or shapes differ. what: names the weights in the message."""
    ours = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    missing = sorted(ours.keys() - state.keys())
    wrong = sorted(k for k in ours.keys() & state.keys() if ours[k].shape != state[k].shape)
    more = sorted(k for k in state.keys() - ours.keys() if not k.endswith("num_batches_tracked"))
    if missing or wrong or more:
        reason = f"{missing[0]} is missing" if missing else f"{wrong[0]} has another shape" if wrong else more[0]
        if more and not missing and not wrong:
            reason = f"{more[0]} has no place"
        raise I2IError(f"These are not the {what}: {reason}.", "Give the file that the documentation names.")
    net.load_state_dict({k: state[k].float() for k in ours}, strict=False)


def check_pair(fake: Tensor, real: Tensor, least: int) -> None:
    """Raises I2IError unless both are RGB images [B, 3, H, W] of one shape with sides of at least `least` pixels."""
    if fake.ndim != 4 or fake.shape != real.shape or fake.shape[1] != 3:
        raise I2IError(
            f"Images of shapes {list(fake.shape)} and {list(real.shape)} cannot be compared.",
            "Both must be [B, 3, H, W] of the same shape.",
        )
    if min(fake.shape[2:]) < least:
        raise I2IError(
            f"The images have {fake.shape[3]} x {fake.shape[2]} pixels, which is too small for this network.",
            f"Both sides must have at least {least} pixels.",
        )


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def _unit(features: Tensor) -> Tensor:
    """Feature maps divided by their norm over channels; the small number stands outside the root, as published."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _quotient(above: Tensor, below: Tensor) -> Tensor:
    return (above + DISTS_STABLE) / (below + DISTS_STABLE)
