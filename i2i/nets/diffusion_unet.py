"""The diffusion U-Net (Dhariwal and Nichol 2021, arXiv 2105.05233, after Ho et al. 2020, arXiv 2006.11239).

Residual blocks that see the time, and self-attention, on a ladder of sizes; it says what is wrong with a noisy image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.errors import I2IError
from i2i.nets.blocks import upsample2x
from i2i.nets.time import cosines_and_sines


class TimeBlock(nn.Module):
    """conv(SiLU(norm(.))) twice, with the time between them, beside a shortcut: [B, before, ...] -> [B, after, ...].

    embedding: width of the time. groups: of the group norms. modulate: the time scales and shifts the second norm's
    output; else it is added in front of that norm. resize: "", "down" (half the size) or "up" (twice)."""

    def __init__(self, before: int, after: int, embedding: int, groups: int, modulate: bool, resize: str = "") -> None:
        super().__init__()
        self.modulate, self.resize = modulate, resize
        self.norm1, self.norm2 = nn.GroupNorm(groups, before), nn.GroupNorm(groups, after)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.time = nn.Linear(embedding, (2 if modulate else 1) * after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def resized(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in the size after the block."""
        if not self.resize:
            return x
        return fn.avg_pool2d(x, 2) if self.resize == "down" else upsample2x(x)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [B, before, H, W], time [B, embedding] -> [B, after, H', W']."""
        h = self.conv1(self.resized(fn.silu(self.norm1(x))))
        shift = self.time(fn.silu(time))[:, :, None, None]
        if self.modulate:
            scale, shift = shift.chunk(2, 1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + shift)
        return self.skip(self.resized(x)) + self.conv2(fn.silu(h))


class MapAttention(nn.Module):
    """x + self-attention over all positions of a map [B, C, H, W], in heads of `head` channels."""

    def __init__(self, channels: int, head: int, groups: int) -> None:
        super().__init__()
        self.heads = channels // head
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)  # head by head, and in each head q, k, v
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        b, c, height, width = x.shape
        parts = self.qkv(self.norm(x)).view(b, self.heads, 3, c // self.heads, height * width)
        q, k, v = parts.transpose(3, 4).unbind(2)  # each [B, heads, H * W, head]
        attended = fn.scaled_dot_product_attention(q, k, v)
        return x + self.out(attended.transpose(2, 3).reshape(b, c, height, width))


class Down(nn.Conv2d):
    """Half the size by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Up(nn.Conv2d):
    """Twice the size by repeating pixels, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        return super().forward(upsample2x(input))


class DiffusionUNet(nn.Module):
    """Images [B, channels_in, H, W] and times [B] -> [B, channels_out, H, W]; H and W are multiples of `multiple`.

    width: channels at the full size. multiples: channels at each size as multiples of it; each size is half of the one
    before, and the first number is 1. blocks: residual blocks at each size. attention: reductions of the size (1, 2, 4,
    ...) with self-attention, beside the one in the middle. head: channels of an attention head. groups: of the group
    norms; it divides all widths. modulate: see TimeBlock. block_resize: resize by residual blocks, else by
    convolutions. The last convolution of each block and of the network starts at 0."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int = 64,
        multiples: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        attention: Sequence[int] = (),
        head: int = 32,
        groups: int = 32,
        modulate: bool = True,
        block_resize: bool = True,
    ) -> None:
        super().__init__()
        _check(width, multiples, attention, head, groups)
        self.width, self.multiple = width, 2 ** (len(multiples) - 1)
        inner = 4 * width
        self.embedding = nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, inner))

        def block(before: int, after: int, resize: str = "") -> TimeBlock:
            return TimeBlock(before, after, inner, groups, modulate, resize)

        def attend(channels: int, factor: int) -> list[nn.Module]:
            return [MapAttention(channels, head, groups)] if factor in attention else []

        # Down the ladder: the map of each position goes to the same place on the way up.
        self.encoder = nn.ModuleList([nn.ModuleList([nn.Conv2d(channels_in, width, 3, padding=1)])])
        skips, c = [width], width
        for level, multiple in enumerate(multiples):
            for _ in range(blocks):
                self.encoder.append(nn.ModuleList([block(c, multiple * width), *attend(multiple * width, 2**level)]))
                c = multiple * width
                skips.append(c)
            if level < len(multiples) - 1:
                self.encoder.append(nn.ModuleList([block(c, c, "down") if block_resize else Down(c)]))
                skips.append(c)
        self.middle = nn.ModuleList([block(c, c), MapAttention(c, head, groups), block(c, c)])

        # Up the ladder: each position takes the last map that is left.
        self.decoder = nn.ModuleList()
        for level, multiple in reversed([*enumerate(multiples)]):
            for i in range(blocks + 1):
                layers = [block(c + skips.pop(), multiple * width), *attend(multiple * width, 2**level)]
                c = multiple * width
                if level and i == blocks:
                    layers.append(block(c, c, "up") if block_resize else Up(c))
                self.decoder.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(groups, c), nn.SiLU(), nn.Conv2d(c, channels_out, 3, padding=1))
        for module in self.modules():
            if isinstance(module, TimeBlock):
                _zero(module.conv2)
            elif isinstance(module, MapAttention):
                _zero(module.out)
        _zero(self.out[2])

    @property
    def reach(self) -> int:
        """Pixels around an output pixel that matter to it, through the convolutions: attention sees all of the map."""
        sizes = self.multiple.bit_length()
        convolutions = 2 * len(self.encoder) // sizes + 2 * len(self.decoder) // sizes + 2
        return 2 + convolutions * (2 * self.multiple - 1) + 4 * self.multiple

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Images [B, channels_in, H, W], times [B] -> [B, channels_out, H, W]."""
        time = self.embedding(cosines_and_sines(t.to(next(self.out.parameters()).dtype), self.width))
        skips: list[Tensor] = []
        for position in self.encoder:
            x = _through(position, x, time)
            skips.append(x)
        x = _through(self.middle, x, time)
        for position in self.decoder:
            x = _through(position, torch.cat([x, skips.pop()], 1), time)
        return self.out(x)


def _through(layers: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    """x through the layers of one position, of which the residual blocks see the time."""
    for layer in layers.children():
        x = layer(x, time) if isinstance(layer, TimeBlock) else layer(x)
    return x


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _check(width: int, multiples: Sequence[int], attention: Sequence[int], head: int, groups: int) -> None:
    """Raises I2IError for numbers that do not go together."""
    if not multiples or multiples[0] != 1:
        raise I2IError(f"multiples is {list(multiples)}.", "Give one number for each size; the first is 1.")
    if width % 2 or width % groups:
        raise I2IError(f"width is {width} and groups is {groups}.", "width must be even and a multiple of groups.")
    attended = {m * width for level, m in enumerate(multiples) if 2**level in attention} | {multiples[-1] * width}
    for channels in sorted(attended):
        if channels % head:
            raise I2IError(
                f"head is {head}, and a map with attention has {channels} channels.",
                f"Choose a head that divides {channels}.",
            )
    for factor in attention:
        if factor not in [2**level for level in range(len(multiples))]:
            raise I2IError(
                f"attention is {list(attention)}.",
                f"Allowed: {', '.join(str(2**level) for level in range(len(multiples)))}, which halve the size.",
            )
