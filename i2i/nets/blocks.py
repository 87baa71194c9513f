"""Layers that several networks share: norms, resampling, initialization.

Each layer here takes exactly one position in a network's list of layers. These positions are part of the state-dict
keys, so files of the authors' networks load without renaming.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core import fast_conv, fast_norm
from i2i.core.errors import I2IError, among

NORMS = ("batch", "instance", "none")
UPSAMPLES = ("transposed", "resize", "blur")
INITS = ("normal", "xavier", "kaiming", "orthogonal")


def check(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises I2IError if `value` of the setting `name` is not one of `allowed`."""
    if value not in allowed:
        raise I2IError(f"{name} is {value!r}.", among(value, allowed))


def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalizes each map of [B, C, H, W] by its own mean and variance, then times `weight` [C] plus `bias` [C].

    On a CPU by group norm with one group per channel: the same formula, in torch 3 to 6 times as fast, and 1.4 to 3
    times with the gradient. Channels-last maps have a form of their own."""
    if x.device.type != "cpu" or x.shape[-1] * x.shape[-2] == 1 or torch.compiler.is_compiling():
        return fn.instance_norm(x, weight=weight, bias=bias, eps=eps)
    if fast_norm.can_steady(x):
        return fast_norm.steady_norm(x, weight, bias, eps)
    if fast_norm.can_use(x):
        return fast_norm.instance_norm(x, weight, bias, eps)
    return torch.group_norm(x.contiguous(), x.shape[1], weight, bias, eps)


def pad(x: Tensor, sides: Sequence[int], mode: str) -> Tensor:
    """`torch.nn.functional.pad` in the precision of x.

    Autocast on a CPU would pad in float32 (mode reflect and replicate): two copies of all maps, and two of their
    gradients, which took a tenth of a bf16 training step of CycleGAN."""
    if not (x.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
        return fn.pad(x, sides, mode)
    with torch.autocast("cpu", enabled=False):
        return fn.pad(x, sides, mode)


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding in the precision of its input, see `pad`."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H + top + bottom, W + left + right]."""
        return pad(input, self.padding, "reflect")


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that, with `per_image_stats`, normalizes each image by its own statistics in eval mode.

    pix2pix does this at test time (Isola et al. 2016, section 3.4: statistics of a test batch of one image). Here the
    result does not depend on the batch.
    """

    per_image_stats = False

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        if self.per_image_stats and not self.training:
            return instance_norm(input, self.weight, self.bias, self.eps)
        return fast_norm.with_dense_gradient(super().forward(input))


class SyncBatchNorm(nn.SyncBatchNorm):
    """`BatchNorm` whose statistics in training are those of the images of all processes."""

    per_image_stats = False

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        if self.per_image_stats and not self.training:
            return instance_norm(input, self.weight, self.bias, self.eps)
        return super().forward(input)


def synchronized(net: nn.Module) -> nn.Module:
    """The network with batch norm that is computed over all processes, with the same parameters and statistics."""
    kept = {name: m.per_image_stats for name, m in net.named_modules() if isinstance(m, BatchNorm)}
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    for name, module in net.named_modules():
        if name in kept:
            module.__class__ = SyncBatchNorm  # of the same memory; torch's conversion knows only its own class
            module.per_image_stats = kept[name]
    return net


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm without running statistics, computed by `instance_norm`.

    It avoids an error of torch's instance norm (seen in 2.14): on a CPU, for a batch of one image, a channels-last
    gradient is read as a contiguous one, so the result is silently wrong in every precision."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return instance_norm(input, self.weight, self.bias, self.eps)


class ReLU(nn.ReLU):
    """ReLU in place, except while gradients are recorded on a GPU.

    There torch's instance norm returns a view, and an activation in place on a view makes autograd copy the whole
    gradient: 11 % of the forward and backward pass of a ResNet of 9 blocks on an H100."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return fn.relu(input, inplace=_in_place(input))


class LeakyReLU(nn.LeakyReLU):
    """Leaky ReLU in place, except while gradients are recorded on a GPU; see `ReLU`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return fn.leaky_relu(input, self.negative_slope, inplace=_in_place(input))


def _in_place(x: Tensor) -> bool:
    return not (x.is_cuda and torch.is_grad_enabled())


def norm_layer(kind: str, channels: int) -> nn.Module:
    """A norm for `channels` channels. kind: batch, instance (without parameters and running statistics) or none.

    Raises I2IError for another kind."""
    check("norm", kind, NORMS)
    if kind == "batch":
        return BatchNorm(channels)
    return InstanceNorm(channels) if kind == "instance" else nn.Identity()


def uses_bias(norm: str) -> bool:
    """True if convolutions beside this norm have a bias: the authors' rule is under instance norm only."""
    return norm == "instance"


def eval_mode(net: nn.Module, per_image_stats: bool, dropout: bool) -> nn.Module:
    """Puts `net` into eval mode as pix2pix tests it, in place; returns `net`.

    per_image_stats: batch norm uses the statistics of each image. dropout: dropout stays on."""
    net.eval()
    for module in net.modules():
        if isinstance(module, BatchNorm | SyncBatchNorm):
            module.per_image_stats = per_image_stats
        elif isinstance(module, nn.Dropout):
            module.train(dropout)
    return net


def upsample2x(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]: each pixel is repeated 2x2."""
    return fn.interpolate(x, scale_factor=2.0, mode="nearest")


class ResizeConv(nn.Conv2d):
    """Twice the size by repeating pixels, then a 3x3 convolution: no checkerboard (Odena et al. 2016)."""

    def __init__(self, channels_in: int, channels_out: int, bias: bool) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels_out, 2H, 2W]."""
        y = fast_conv.enlarged(self, input)
        return super().forward(upsample2x(input)) if y is None else y


class SeparableConv(nn.Module):
    """A convolution in two parts: each channel by itself (`kernel` x `kernel`), then all channels of a position (1x1).

    Between them instance norm, and both with a bias, whatever the norms of the network are (Li et al. 2020, arXiv
    2003.08936). normed: False leaves the norm out, for maps of one position."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 0,
        normed: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, kernel, stride, padding, groups=channels_in),
            InstanceNorm(channels_in) if normed else nn.Identity(),
            nn.Conv2d(channels_in, channels_out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H', W'], as of the convolution that it stands for."""
        return self.conv(x)


class SeparableUp(nn.Module):
    """Twice the size in two parts: all channels of a position (1x1) at the small size, then each channel by itself.

    Repeating pixels and the 1x1 convolution may change places, so the costly part has a quarter of the pixels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels_in, channels_out, 1)
        self.each = nn.Conv2d(channels_out, channels_out, 3, padding=1, groups=channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, 2H, 2W]."""
        return self.each(upsample2x(self.mix(x)))


def blur_filters(row: tuple[float, ...], channels: int) -> Tensor:
    """A filter for each channel, of the products of all pairs of a row's numbers [channels, 1, N, N].

    They are made without torch, whose arithmetic loads its compiler if a network is made on the meta device, as those
    that wait for their weights are."""
    return torch.tensor([[[[a * b for b in row] for a in row]]] * channels)


class BlurDown(nn.Module):
    """Half the size, after a fixed blur [1, 2, 1] (Zhang 2019, Making Convolutional Networks Shift-Invariant Again)."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", blur_filters((0.25, 0.5, 0.25), channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]."""
        return fn.conv2d(pad(x, (1, 1, 1, 1), mode="reflect"), self.filt.to(x.dtype), stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Twice the size with the fixed filter [1, 3, 3, 1], the counterpart of BlurDown."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = (0.25, 0.75, 0.75, 0.25)  # sums to 2: only every second tap meets a pixel
        self.register_buffer("filt", blur_filters(row, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        padded = pad(x, (1, 1, 1, 1), mode="replicate")
        return fn.conv_transpose2d(padded, self.filt.to(x.dtype), stride=2, padding=3, groups=x.shape[1])


def init_weights(net: nn.Module, kind: str = "normal", gain: float = 0.02) -> nn.Module:
    """Draws new weights of convolutions and linear layers, in place; returns `net`.

    kind: normal (N(0, gain)), xavier and orthogonal (scaled by gain), or kaiming (without gain). Biases become 0;
    weights of batch norms become N(1, gain), and their biases 0, if they have any. Nothing is drawn for a network on
    the meta device, whose weights have no values. Raises I2IError for another kind.
    """
    check("init", kind, INITS)
    if all(p.is_meta for p in net.parameters()):
        return net
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
        elif isinstance(module, nn.BatchNorm2d) and module.affine:  # one without weights is that of a conditional norm
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(cast(Tensor, module.bias))
    return net


def doublings(size: int, smallest: int = 8) -> int:
    """How often 4 pixels must double to give `size`.

    Raises I2IError if `size` is not 4 times a power of two, or is smaller than `smallest`."""
    count = (size // 4).bit_length() - 1
    if size < smallest or 4 * 2**count != size:
        raise I2IError(
            f"size is {size}, but this network needs 4 times a power of two.",
            f"Choose {', '.join(str(4 * 2**k) for k in range(1, 7) if 4 * 2**k >= smallest)}, ...",
        )
    return count


def one_hot(c: Tensor | None, classes: int, dtype: torch.dtype) -> Tensor:
    """Classes int64 [B] as one-hot rows [B, classes]. Float rows (mixtures of classes) only change their dtype.

    Raises I2IError if c is None."""
    if c is None:
        raise I2IError("This network needs a class for each image.", "Give c, int64 [B].")
    return c.to(dtype) if c.is_floating_point() else fn.one_hot(c, classes).to(dtype)
