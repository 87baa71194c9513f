"""Networks of UNSB (Kim et al. 2023, arXiv 2305.15086): CUT's, which also see the time, and the chain that samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

from torch import Tensor, nn

from i2i.core.config import Blocks, Channels, Layers, NonNegative, Range, Width
from i2i.core.random import pixel_normal
from i2i.nets.blocks import InstanceNorm, LeakyReLU, ReflectionPad2d, ReLU
from i2i.nets.chain import Chain, State
from i2i.nets.patchgan import PatchGAN
from i2i.nets.registry import Network, register
from i2i.nets.resnet import ResNet
from i2i.nets.time import sines_and_cosines

Timesteps = Annotated[int, Range(1, 200)]  # of the chain


def bridge_times(timesteps: int) -> list[float]:
    """The times t_0 = 0, t_1 = 0.5, ..., t_T = 1 of a chain of T steps, which shrink like 1, 1/2, 1/3, ..."""
    sums = [0.0]
    for k in range(1, timesteps):
        sums.append(sums[-1] + 1 / k)
    return [0.0, *(0.5 + 0.5 * s / max(sums[-1], 1e-12) for s in sums)]


class TimeEmbedding(nn.Module):
    """Times [B] -> [B, width]: sines and cosines, then two dense layers, each with a leaky ReLU."""

    def __init__(self, sines: int, width: int) -> None:
        super().__init__()
        self.sines = sines
        self.dense = nn.Sequential(nn.Linear(sines, width), LeakyReLU(0.2), nn.Linear(width, width), LeakyReLU(0.2))

    def forward(self, t: Tensor) -> Tensor:
        """Times [B] -> [B, width]."""
        weight = cast(nn.Linear, self.dense[0]).weight
        return self.dense(sines_and_cosines(t.to(weight.dtype), self.sines))


class StyleBlock(nn.Module):
    """A residual block whose middle is scaled and shifted by the style, and that may see the time.

    x + norm(conv(ReLU(gain * u + bias))), where (gain, bias) is dense(style), and u is norm(conv(x)) + dense(time) if
    `timed`, else norm(x)."""

    def __init__(self, width: int, timed: bool) -> None:
        super().__init__()
        if timed:
            self.conv1 = nn.Sequential(ReflectionPad2d(1), nn.Conv2d(width, width, 3))
            self.time = nn.Linear(width, width)
        self.timed = timed
        self.norm1, self.norm2 = InstanceNorm(width), InstanceNorm(width)
        self.style = nn.Linear(width, 2 * width)
        self.relu = ReLU()
        self.conv2 = nn.Sequential(ReflectionPad2d(1), nn.Conv2d(width, width, 3))

    def forward(self, x: Tensor, style: Tensor, time: Tensor | None) -> Tensor:
        """[B, width, H, W], style and time [B, width] -> the shape of x."""
        if time is None:
            u = self.norm1(x)
        else:  # after the norm: before it, the norm would take the time away again
            u = self.norm1(self.conv1(x)) + self.time(time)[:, :, None, None]
        gain, bias = self.style(style)[:, :, None, None].chunk(2, 1)
        return x + self.norm2(self.conv2(self.relu(gain * u + bias)))


class UNSBNet(nn.Module):
    """CUT's antialiased ResNet with a style z, and with the time if `timed`; z has 4 * width numbers.

    The authors' released code computes the time and the first convolution of each block and loses both (`timed`
    False; their published weights and figures are of that form). timed: as the paper means it."""

    TAP_OF_BLOCK = 12  # position of the first block in the list of layers that `features` counts in

    def __init__(
        self, channels_in: int, channels_out: int, blocks: int, width: int, style_layers: int, timed: bool
    ) -> None:
        super().__init__()
        layers = ResNet(channels_in, channels_out, 0, width, "instance", False, "blur", True).model
        inner = 4 * width
        self.z, self.timed = inner, timed
        self.encoder = nn.Sequential(*layers[: self.TAP_OF_BLOCK])
        self.decoder = nn.Sequential(*layers[self.TAP_OF_BLOCK :])
        self.blocks = nn.ModuleList([StyleBlock(inner, timed) for _ in range(blocks)])
        dense: list[nn.Module] = []
        for _ in range(style_layers + 1):
            dense += [nn.Linear(inner, inner), LeakyReLU(0.2)]
        self.style = nn.Sequential(*dense)
        if timed:
            self.time = TimeEmbedding(width, inner)

    def prepared(self, t: int, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the blocks see of the time and of z [B, 4 * width]."""
        style = self.style(z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        return style, self.time(z.new_full((z.shape[0],), t)) if self.timed else None

    def forward(self, x: Tensor, t: int, z: Tensor) -> Tensor:
        """Images [B, channels_in, H, W] at step t of the chain, z [B, 4 * width] -> [B, channels_out, H, W]."""
        style, time = self.prepared(t, z)
        h = self.encoder(x)
        for block in self.blocks:
            h = block(h, style, time)
        return self.decoder(h)

    def features(self, x: Tensor, layers: Sequence[int], z: Tensor) -> list[Tensor]:
        """Outputs of some layers at t = 0: 0 is the padded image, 1 to 11 as in CUT, 12 + i block i."""
        style, time = self.prepared(0, z)
        outputs, h = [], x
        for i in range(max(layers) + 1):
            first = i < self.TAP_OF_BLOCK
            h = self.encoder[i](h) if first else self.blocks[i - self.TAP_OF_BLOCK](h, style, time)
            if i in layers:
                outputs.append(h)
        return outputs


class AtStep(nn.Module):
    """The network at one step of the chain with one z [1, 4 * width] for all images."""

    def __init__(self, net: nn.Module, t: int, z: Tensor) -> None:
        super().__init__()
        self.net, self.t, self.z = net, t, z

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.net(x, self.t, self.z.to(x).expand(x.shape[0], -1))


@register("unsb")
class UNSBGenerator(Chain):
    """x [B, channels_in, H, W] in [-1, 1] -> y by a chain of 1 to `timesteps` evaluations of one network.

    X_0 = x, and X_{k+1} lies between X_k and G(X_k), with a little noise of variance `tau` times the step; the answer
    is the last G(X_k). blocks, width: of the ResNet. style_layers: dense layers of the style, but one. timed: see
    UNSBNet. Images keep their channels."""

    def __init__(
        self,
        channels_in: Channels = 3,
        channels_out: Channels = 3,
        blocks: Blocks = 9,
        width: Width = 64,
        style_layers: Layers = 3,
        timed: bool = False,
        timesteps: Timesteps = 5,
        tau: NonNegative = 0.01,
    ) -> None:
        super().__init__()
        self.net = UNSBNet(channels_in, channels_out, blocks, width, style_layers, timed)
        self.multiple = 4
        # Pixels around an output pixel that matter to it: 24 by the layers at the sides, and the blocks' convolutions.
        self.reach = 24 + 4 * blocks * (2 if timed else 1)
        self.tau, self.times = tau, bridge_times(timesteps)
        self.default_steps = self.most_steps = timesteps

    def style(self, k: int) -> Tensor:
        """The z of evaluation k, [1, 4 * width]."""
        return pixel_normal(1, 1, self.net.z, "unsb/z", self.choice.seed, self.choice.answer, k).flatten(1)

    def question(self, k: int, state: State, x: Tensor) -> Tensor:
        """X_k."""
        return state[-1]

    def evaluation(self, k: int) -> nn.Module:
        """The network at step k."""
        return AtStep(self.net, k, self.style(k))

    def advance(self, k: int, state: State, x: Tensor, answer: Tensor) -> State:
        """(G(X_k), X_{k+1}); after the last evaluation the answer alone."""
        if k + 1 == self.evaluations:
            return (answer,)
        return answer, self.moved(k, state[-1], answer, self.noise(k, answer))

    def moved(self, k: int, x: Tensor, answer: Tensor, noise: Tensor) -> Tensor:
        """X_{k+1} from X_k and G(X_k)."""
        step = self.times[k + 1] - self.times[k]
        share = step / (1 - self.times[k])
        return (1 - share) * x + share * answer + (step * (1 - share) * self.tau) ** 0.5 * noise


class TimePatchGAN(Network):
    """CUT's antialiased PatchGAN that also sees the step t: [B, channels, H, W] -> raw scores [B, 1, h, w].

    The time is added before the first activation only: in later layers, the norm would take it away again."""

    def __init__(self, channels: int, layers: int = 3, width: int = 64) -> None:
        super().__init__()
        self.model = PatchGAN(channels, layers, width, "instance", True).model
        self.embedding = TimeEmbedding(4 * width, 4 * width)
        self.time = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, t: int) -> Tensor:
        """[B, channels, H, W] in [-1, 1] at step t -> raw scores [B, 1, h, w]."""
        time = self.time(self.embedding(x.new_full((1,), t)))
        for i, layer in enumerate(self.model):
            x = layer(x) if i else layer(x) + time[:, :, None, None]
        return x
