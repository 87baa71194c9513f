"""Networks of BicycleGAN (Zhu et al., Toward Multimodal Image-to-Image Translation, 2017, arXiv 1711.11586)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i.core.config import Channels, Range, Width
from i2i.nets.blocks import check, norm_layer, pad
from i2i.nets.choice import Choice, Choosing
from i2i.nets.latent import Latent
from i2i.nets.registry import register
from i2i.nets.unet import MAX_DEPTH, check_sides

Depth = Annotated[int, Range(2, MAX_DEPTH)]
EncoderBlocks = Annotated[int, Range(2, 10)]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "lrelu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
}


class BilinearConv(nn.Module):
    """Twice the size by linear interpolation, then a 3x3 convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels_out, 2H, 2W]."""
        x = fn.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.conv(pad(x, (1, 1, 1, 1), mode="reflect"))


def with_noise(x: Tensor, z: Tensor) -> Tensor:
    """x [B, C, H, W] and z [B, Z], repeated at every position, as one [B, C + Z, H, W]."""
    return torch.cat([x, z[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])], 1)


class NoisyUNet(nn.Module):
    """U-Net that gets z at each level of its encoder: x [B, channels_in, H, W], z [B, z] -> [B, channels_out, H, W].

    H and W must be multiples of `multiple` = 2**depth. Level k makes width * min(2**k, 8) channels. norm: instance,
    batch or none; not in the outermost and the innermost encoder layer. activation: of the decoder; relu, lrelu or elu.
    upsample: transposed or bilinear. Raises I2IError for an unknown activation or upsampling."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        z: int,
        depth: int,
        width: int,
        norm: str,
        activation: str,
        upsample: str,
    ) -> None:
        super().__init__()
        check("activation", activation, tuple(ACTIVATIONS))
        check("upsample", upsample, ("transposed", "bilinear"))
        self.multiple = 2**depth
        self.act = ACTIVATIONS[activation]()
        widths = [width * min(2**k, 8) for k in range(depth)]
        before = [channels_in, *widths[:-1]]  # channels that go into each level

        def up(inside: int, outside: int) -> nn.Module:
            if upsample == "bilinear":
                return BilinearConv(inside, outside)
            return nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1)

        self.down, self.down_norm = nn.ModuleList(), nn.ModuleList()
        self.up, self.up_norm = nn.ModuleList(), nn.ModuleList()
        for k, (outside, inside) in enumerate(zip(before, widths, strict=True)):
            innermost = k == depth - 1
            self.down.append(nn.Conv2d(outside + z, inside, 4, stride=2, padding=1))
            self.down_norm.append(norm_layer(norm if k > 0 and not innermost else "none", inside))
            self.up.append(up(inside if innermost else 2 * inside, channels_out if k == 0 else outside))
            self.up_norm.append(norm_layer(norm if k else "none", outside))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x [B, channels_in, H, W] in [-1, 1] and z [B, z] -> [B, channels_out, H, W] in [-1, 1].

        Raises I2IError if H or W is not a multiple of `multiple`."""
        check_sides(x, self.multiple)
        h, skips = x, []
        for k, (down, norm) in enumerate(zip(self.down, self.down_norm, strict=True)):
            skips.append(h)
            joined = with_noise(h, z)
            h = norm(down(fn.leaky_relu(joined, 0.2) if k else joined))
        for k in reversed(range(len(self.up))):
            h = self.up_norm[k](self.up[k](self.act(h)))
            h = torch.cat([h, skips[k]], 1) if k else torch.tanh(h)
        return h


class EncoderBlock(nn.Module):
    """(norm, leaky ReLU, conv) twice and average pooling, plus a pooled shortcut: half the size."""

    def __init__(self, channels_in: int, channels_out: int, norm: str) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm_layer(norm, channels_in), nn.Conv2d(channels_in, channels_in, 3, padding=1)
        self.norm2, self.conv2 = norm_layer(norm, channels_in), nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, channels_out, H/2, W/2]."""
        h = self.conv1(fn.leaky_relu(self.norm1(x), 0.2))
        h = self.conv2(fn.leaky_relu(self.norm2(h), 0.2))
        return fn.avg_pool2d(h, 2) + self.shortcut(fn.avg_pool2d(x, 2))


class Encoder(nn.Module):
    """Finds the z of an answer: image [B, channels, H, W] in [-1, 1] -> mean [B, z] and log variance [B, z].

    Each of its `blocks` layers halves the size; the last maps are averaged over all positions (the paper's images have
    8 * 2**blocks pixels a side). width: channels of the first layer. norm: instance, batch or none."""

    def __init__(
        self,
        channels: int,
        z: int,
        blocks: int,
        width: int,
        norm: str,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(EncoderBlock(width * min(4, n), width * min(4, n + 1), norm) for n in range(1, blocks))
        )
        self.mean, self.log_variance = (nn.Linear(width * min(4, blocks), z) for _ in range(2))

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels, H, W] in [-1, 1] -> mean and log variance of z, each [B, z]."""
        h = fn.leaky_relu(self.blocks(self.first(y)), 0.2).mean((2, 3))
        return self.mean(h), self.log_variance(h)


class Answer(nn.Module):
    """One answer of a `BicycleGenerator`: a network x -> y with a fixed z [1, Z], which shares the weights."""

    z: Tensor

    def __init__(self, unet: NoisyUNet, z: Tensor) -> None:
        super().__init__()
        self.unet = unet
        self.register_buffer("z", z, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels_in, H, W] in [-1, 1] -> [B, channels_out, H, W] in [-1, 1]."""
        return self.unet(x, self.z.to(x).expand(len(x), -1))


@register("bicycle")
class BicycleGenerator(Choosing):
    """G(x, z) and the encoder that finds the z of an example: [B, channels_in, H, W] -> [B, channels_out, H, W].

    z: numbers in the noise. depth, width, norm, activation, upsample: see `NoisyUNet`. encoder_blocks, encoder_width:
    see `Encoder`. An answer is a z drawn from N(0, 1) by its seed and number; with an example, the mean that the
    encoder finds, and from the second answer on a draw around that mean."""

    choices = ("answers", "like")
    first: Tensor

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        z: Width = 8,
        depth: Depth = 8,
        width: Width = 64,
        norm: str = "instance",
        activation: str = "relu",
        upsample: str = "transposed",
        encoder_blocks: EncoderBlocks = 5,
        encoder_width: Width = 64,
    ) -> None:
        super().__init__()
        self.unet = NoisyUNet(channels_in, channels_out, z, depth, width, norm, activation, upsample)
        self.encoder = Encoder(channels_out, z, encoder_blocks, encoder_width, norm)
        self.multiple, self.noise = self.unet.multiple, Latent((("normal", z),))
        self.register_buffer("first", self.drawn(Choice()), persistent=False)  # exported models cannot draw

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """[B, channels_in, H, W] -> [B, channels_out, H, W] in [-1, 1]. z: [B, z]; None: that of the first answer."""
        return self.unet(x, self.first.to(x).expand(len(x), -1) if z is None else z)

    def drawn(self, choice: Choice) -> Tensor:
        """The noise [1, z] of an answer."""
        return self.noise.draw(torch.tensor([choice.answer]), choice.seed, "bicycle")

    def chosen(self, choice: Choice) -> nn.Module:
        """The network of one answer. choice: `seed` and `answer`, and `like`, an image [1, channels_out, H, W]."""
        eps = self.drawn(choice).to(self.encoder.mean.weight)
        if choice.like is None:
            return Answer(self.unet, eps)
        mean, log_variance = self.encoder(choice.like.to(eps))
        return Answer(self.unet, mean + (log_variance / 2).exp() * eps if choice.answer else mean)
