"""Layers that several networks share: norms, resampling, initialisation.

Positions in a network's list of layers are part of its state-dict keys; every layer here takes exactly one position, so
that files trained with the authors' networks load without renaming.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError, among

NORMS = ("batch", "instance", "none")
UPSAMPLES = ("transposed", "resize", "blur")
INITS = ("normal", "xavier", "kaiming", "orthogonal")


def check(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises I2IError, naming the nearest, if `value` of the setting `name` is not one of `allowed`."""
    if value not in allowed:
        raise I2IError(f"{name} is {value!r}.", among(value, allowed))


def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Each map of [B, C, H, W] by its own mean and spread, then times `weight` [C] plus `bias` [C].

    On a CPU as group norm with a group for each channel: the same formula, 3 to 6 times as fast in torch and 1.4 to 3
    times with the gradient. Maps that lie channels last lose their mean first, because torch takes the spread of those
    from sums of squares, whose digits a large mean uses up."""
    if x.device.type != "cpu" or x.shape[-1] * x.shape[-2] == 1 or torch.compiler.is_compiling():
        return fn.instance_norm(x, weight=weight, bias=bias, eps=eps)
    if not x.is_contiguous():
        x = x.contiguous() if torch.is_grad_enabled() else x - x.mean((2, 3), keepdim=True)
    return torch.group_norm(x, x.shape[1], weight, bias, eps)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that, with `own` set, normalises each image by its own statistics in eval mode.

    That is what pix2pix does at test time (Isola et al., section 3.4: test-batch statistics at batch size 1), made
    independent of the batch an image is translated in.
    """

    own = False

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        if self.own and not self.training:
            return instance_norm(input, self.weight, self.bias, self.eps)
        return super().forward(input)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm, here without running statistics, by way of `instance_norm`.

    On a CPU its gradient is right for one image too: torch's own instance norm (2.14 at least) mistakes a gradient
    that comes back channels last for a contiguous one then, and is silently wrong, in any precision."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return instance_norm(input, self.weight, self.bias, self.eps)


def norm_layer(kind: str, channels: int) -> nn.Module:
    """The norm `kind` of NORMS. Instance norm has neither parameters nor running statistics."""
    check("norm", kind, NORMS)
    if kind == "batch":
        return BatchNorm(channels)
    return InstanceNorm(channels) if kind == "instance" else nn.Identity()


def uses_bias(norm: str) -> bool:
    """The authors' rule: convolutions beside a norm have a bias under instance norm only."""
    return norm == "instance"


def eval_mode(net: nn.Module, own: bool, dropout: bool) -> nn.Module:
    """Puts `net` into eval mode as pix2pix tests: batch norm by each image's `own` statistics, `dropout` kept on."""
    net.eval()
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.own = own
        elif isinstance(module, nn.Dropout):
            module.train(dropout)
    return net


def upsample2x(x: Tensor) -> Tensor:
    """Each pixel of [B, C, H, W] repeated 2 x 2."""
    return fn.interpolate(x, scale_factor=2.0, mode="nearest")


class ResizeConv(nn.Conv2d):
    """Twice the size by repeating pixels, then a 3x3 convolution: no checkerboard (Odena et al. 2016)."""

    def __init__(self, channels_in: int, channels_out: int, bias: bool) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels_out, 2H, 2W]."""
        return super().forward(fn.interpolate(input, scale_factor=2.0, mode="nearest"))


class BlurDown(nn.Module):
    """Half the size after a fixed blur [1, 2, 1] (Zhang, Making Convolutional Networks Shift-Invariant Again, 2019)."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", torch.outer(row, row).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]."""
        return fn.conv2d(fn.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Twice the size with the fixed filter [1, 3, 3, 1], the counterpart of BlurDown."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4  # sums to 2: only every second tap meets a pixel
        self.register_buffer("filt", torch.outer(row, row).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        padded = fn.pad(x, (1, 1, 1, 1), mode="replicate")
        return fn.conv_transpose2d(padded, self.filt, stride=2, padding=3, groups=x.shape[1])


def init_weights(net: nn.Module, kind: str = "normal", gain: float = 0.02) -> nn.Module:
    """Draws the weights of convolutions and linear layers anew, in place, and returns `net`.

    normal: N(0, gain); xavier and orthogonal: scaled by gain; kaiming: without gain. Biases become 0, batch-norm
    weights N(1, gain), batch-norm biases 0.
    """
    check("init", kind, INITS)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if kind == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            elif kind == "xavier":
                nn.init.xavier_normal_(module.weight, gain)
            elif kind == "kaiming":
                nn.init.kaiming_normal_(module.weight)
            else:
                nn.init.orthogonal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(cast(Tensor, module.bias))
    return net


def doublings(size: int, smallest: int = 8) -> int:
    """How often 4 pixels double to `size`. Raises I2IError if they do not, or if `size` is under `smallest`."""
    count = (size // 4).bit_length() - 1
    if size < smallest or 4 * 2**count != size:
        raise I2IError(
            f"This network makes images of a side of 4 times a power of two; size is {size}.",
            f"Choose {', '.join(str(4 * 2**k) for k in range(1, 7) if 4 * 2**k >= smallest)}, ...",
        )
    return count


def one_hot(c: Tensor | None, classes: int, dtype: torch.dtype) -> Tensor:
    """Classes int64 [B] as rows [B, classes]; rows already made (mixtures of classes) pass. Raises I2IError without."""
    if c is None:
        raise I2IError("This network needs a class for each image.", "Give c, int64 [B].")
    return c.to(dtype) if c.is_floating_point() else fn.one_hot(c, classes).to(dtype)
