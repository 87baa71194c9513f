"""SRGAN: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network.

Ledig et al., 2016, arXiv 1609.04802. From a small image x, G makes y, which is `scale` times as large. SRResNet is G
trained by the mean squared error alone; SRGAN goes on from there with

    content(G(x), y) + 10^-3 * mean -log D(G(x))        (equation 3, with the non-saturating adversarial loss)

What is unusual: G is trained without D for the first part of the run (`warmup`), because D would win against random
images; `warmup=1` is SRResNet. The content loss compares feature maps of a network trained on ImageNet. The paper takes
one layer of VGG19; here it is one of the networks that i2i knows (`content`), beside the pixels. The paper trains
SRResNet and SRGAN in two runs, each with an Adam of its own; here Adam keeps its moments (two runs: `init_from`).

`generator=nafnet scale=1` puts NAFNet (Chen et al. 2022, arXiv 2204.04676) in the place of G, to remove noise, blur or
JPEG traces (`make=noise`, ...) at the image's own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from i2i.core.config import Blocks, NonNegative, Share, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.losses import mse, vanilla
from i2i.methods import Batch, Content, Enlarge, Now, Shape, Terms, adam_pair, schedule
from i2i.nets import NAFNet, SRGANDiscriminator, SRResNet
from i2i.nets.blocks import check
from i2i.nets.unit import to_unit


@dataclass(frozen=True)
class SRGANSettings:
    """Settings of SRGAN; the defaults are the paper's, except for the content loss."""

    generator: str = "srresnet"  # srresnet, or nafnet (scale 1: removes noise, blur, JPEG traces)
    width: Width = 64  # channels of the generator's maps; NAFNet: at the full size, twice as many at each level below
    blocks: Blocks = 16  # residual blocks of the generator; NAFNet: blocks of its lowest level, the others have one
    norm: str = "batch"  # SRResNet: normalisation: batch, none
    residual: bool = False  # SRResNet: G makes what is missing in the bicubic enlargement: it learns faster
    light: bool = False  # SRResNet: G works at the size of its input to the end: several times faster
    d_width: Width = 64  # channels of the discriminator's first layer
    warmup: Share = 0.5  # share of the run that trains G alone on the pixels; 1: all of it (SRResNet)
    content: str = "effnet"  # network of the content loss: vgg16, alex, effnet, none, or a file of weights
    pixel: NonNegative = 1.0  # weight of the mean squared error of pixels, which are in [0, 1]
    feature: NonNegative = 0.01  # weight of the content loss, after the warm-up
    adv: NonNegative = 0.001  # weight of the adversarial loss, after the warm-up
    lr: NonNegative = 1e-4  # learning rate of both Adams
    decay: str = "paper"  # learning rate: paper (a tenth in the last half without warm-up), linear, cosine, constant
    beta1: UnderOne = 0.9  # beta1 of both Adams


class SRGAN(Enlarge):
    """SRResNet or NAFNet as G, and a discriminator of the whole image."""

    Config = SRGANSettings
    config: SRGANSettings
    scales = (4, 2, 3, 8, 1)
    tiny = {"width": 4, "blocks": 1, "d_width": 2, "warmup": 0.01, "content": "none", "size": 16, "scale": 2}

    def __init__(self, config: SRGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        c = config
        self.G = self._generator(c, shape)
        self.curve = None if c.decay == "paper" else schedule(c.decay)
        self.D = SRGANDiscriminator(shape.channels_out, config.d_width)
        self.content = Content(config.content if config.warmup < 1 and config.feature else "none", shape.size)

    @staticmethod
    def _generator(c: SRGANSettings, shape: Shape) -> nn.Module:
        """The network that `generator` names. Raises I2IError if there is none, or if it cannot make the scale."""
        check("generator", c.generator, ("srresnet", "nafnet"))
        if c.generator == "srresnet":
            form = (shape.scale, c.width, c.blocks, c.norm, c.residual, c.light)
            return SRResNet(shape.channels_in, shape.channels_out, *form)
        if shape.scale != 1:
            raise I2IError(
                f"generator is nafnet and scale is {shape.scale}: a NAFNet keeps the size.",
                "Give --set scale=1, or --set generator=srresnet to enlarge.",
            )
        return NAFNet(shape.channels_in, shape.channels_out, c.width, (1, 1, 1, c.blocks), 1, (1, 1, 1, 1))

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for D, Adam for G."""
        return adam_pair(self.D, self.G, self.config.lr, self.config.beta1)

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names. paper: 1, and 0.1 in the second half of the adversarial part."""
        if self.curve is not None:
            return self.curve(fraction)
        return 0.1 if self.config.warmup < 1 and fraction >= (1 + self.config.warmup) / 2 else 1.0

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """G alone during the warm-up; then D, and G against the updated D."""
        c, y = self.config, batch.y
        assert y is not None
        fake = self.G(batch.x)
        pixel = c.pixel * mse(to_unit(fake), to_unit(y))
        if now.fraction < c.warmup:
            yield "G", {"pixel": pixel}
            return

        # D sees images in [0, 1], real ones and fakes in batches of their own.
        shown = to_unit(fake).to(y.dtype)
        real_scores, fake_scores = self.D(to_unit(y)), self.D(shown.detach())
        yield "D", {"real": vanilla.real(real_scores), "fake": vanilla.fake(fake_scores)}

        terms: dict[str, Tensor] = {"pixel": pixel, "adv": c.adv * vanilla.adv(self.D(shown))}
        if self.content:
            terms["feature"] = c.feature * self.content(fake, y)
        yield "G", terms
