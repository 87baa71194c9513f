"""BicycleGAN: Toward Multimodal Image-to-Image Translation.

Zhu, Zhang, Pathak, Darrell, Efros, Wang, Shechtman, 2017, arXiv 1711.11586. From pairs (x, y), G(x, z) learns many
answers for one x, and E finds the z that makes y:

    min_{G, E} max_{D, D2}  GAN(D, G(x, E(y))) + 10 || y - G(x, E(y)) ||_1 + 0.01 KL(E(y) || N(0, 1))
                            + GAN(D2, G(x, z)) + 0.5 || z - E(G(x, z)) ||_1        (equation 10)

The first line is a conditional VAE-GAN, y -> z -> y; the second a conditional latent regressor, z -> y -> z.

What is unusual: z enters each level of G's encoder. Half of a batch serves the first cycle; of the other half, D2 sees
the targets alone, as real images. The distance of z trains G alone, through E. G and E are updated first, then D, then
D2, all from one forward pass. The discriminators judge at two scales, and do not see x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from torch import Tensor
from torch.func import functional_call
from torch.optim import Optimizer

from i2i.core.config import Layers, NonNegative, Range, UnderOne, Width
from i2i.core.errors import I2IError
from i2i.losses import kl_normal, l1, over_scales
from i2i.losses.adversarial import adversarial
from i2i.methods import Batch, Now, Shape, Terms, Translate, adam, sample_ids, schedule
from i2i.nets import init_weights, unet
from i2i.nets.bicycle import BicycleGenerator
from i2i.nets.choice import Choice
from i2i.nets.factory import unet_depth
from i2i.nets.labels import without_labels
from i2i.nets.multiscale import MultiScale, Scales

SHOWN = 4  # answers in a preview


@dataclass(frozen=True)
class BicycleGANSettings:
    """Settings of BicycleGAN; the defaults are the paper's."""

    z: Width = 8  # numbers in the noise z
    depth: Annotated[int, Range(0, unet.MAX_DEPTH)] = 0  # levels of the U-Net; 0: fitted to the size, 8 for 256 pixels
    width: Width = 64  # channels of the generator's first layer
    e_width: Width = 64  # channels of the encoder's first layer
    e_blocks: Annotated[int, Range(0, 10)] = 0  # halvings in the encoder; 0: down to maps of 8 pixels, 5 for 256 pixels
    d_width: Width = 64  # channels of the discriminators' first layer at the full size; half of them at the next scale
    layers: Layers = 3  # strided layers of each discriminator
    scales: Scales = 2  # discriminators on an image pyramid
    norm: str = "instance"  # normalisation: instance, none
    activation: str = "relu"  # activation of G's decoder: relu, lrelu, elu
    upsample: str = "transposed"  # upsampling of G: transposed, bilinear
    init: str = "xavier"  # initial weights: normal, xavier, kaiming, orthogonal
    gain: NonNegative = 0.02  # standard deviation (normal) or scale (xavier, orthogonal) of the initial weights
    conditional: bool = False  # show x to the discriminators, beside the image
    shared: bool = False  # one discriminator for both cycles
    loss: str = "lsgan"  # adversarial loss: lsgan, vanilla
    adv: NonNegative = 1.0  # weight of the adversarial loss of the encoded answer
    adv2: NonNegative = 1.0  # weight of the adversarial loss of the random answer
    l1: NonNegative = 10.0  # weight of the L1 distance of the encoded answer to y
    kl: NonNegative = 0.01  # weight of the distance of E's z from N(0, 1), which is summed over the batch
    latent: NonNegative = 0.5  # weight of the L1 distance of z to the z found in the random answer
    lr: NonNegative = 2e-4  # learning rate of all Adams
    beta1: UnderOne = 0.5  # beta1 of all Adams
    decay: str = "linear"  # learning-rate schedule: linear (to 0 over the second half), cosine, step, constant


class BicycleGAN(Translate):
    """BicycleGAN: many answers for one image, by noise or by an example."""

    Config = BicycleGANSettings
    config: BicycleGANSettings
    term_notes = {
        "adv": "How far the answers with a z of the encoder are from fooling D. Good: level.",
        "adv2": "How far the answers with a random z are from fooling D2. Good: level.",
        "kl": "How far the encoder's z are from N(0, 1), times its weight. Good: level, above 0. At 0, z says nothing.",
        "latent": "Distance between a random z and the z that the encoder finds in the answer, times its weight. Lower "
        "is better: answers then differ with z.",
    }
    tiny = {"z": 3, "width": 4, "e_width": 4, "e_blocks": 2, "d_width": 4, "layers": 1, "size": 16}

    def __init__(self, config: BicycleGANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        c, size = config, shape.size
        if c.norm == "batch":
            raise I2IError("norm is 'batch', which mixes real images and fakes here.", "Allowed: instance, none.")
        if c.loss not in ("lsgan", "vanilla"):
            raise I2IError(f"loss is {c.loss!r}.", "Allowed: lsgan, vanilla.")
        depth, blocks = unet_depth(c.depth, size), c.e_blocks or encoder_blocks(size)
        if size % 2**blocks:
            raise I2IError(f"e_blocks is {blocks}, and the images have {size} pixels a side.", "Choose fewer.")
        shapes = (shape.channels_seen, shape.channels_out, c.z, depth, c.width, c.norm, c.activation, c.upsample)
        G = BicycleGenerator(*shapes, blocks, c.e_width)
        channels = shape.channels_out + (shape.channels_seen if c.conditional else 0)
        smallest = 2 ** (c.scales - 1) * 3 * 2**c.layers
        if size < smallest:
            raise I2IError(
                f"The images have {size} pixels a side.",
                f"{c.scales} discriminators of {c.layers} layers need {smallest}. Set fewer layers or scales.",
            )
        judge = (channels, c.scales, c.layers, c.d_width, c.norm, True, 1)
        self.G = self.labelled(init_weights(G, c.init, c.gain))
        self.D = init_weights(MultiScale(*judge), c.init, c.gain)
        if not c.shared:
            self.D2 = init_weights(MultiScale(*judge), c.init, c.gain)
        self.loss_of, self.curve = adversarial(c.loss), schedule(c.decay)

    @property
    def bicycle(self) -> BicycleGenerator:
        """G and E, which take label maps in one channel for each class."""
        return cast(BicycleGenerator, without_labels(self.generator))

    def optimizers(self) -> dict[str, Optimizer]:
        """Adam for G and E together, Adam for D, Adam for D2."""
        c = self.config
        nets = {"G": self.G, "D": self.D} | ({} if c.shared else {"D2": self.D2})
        return {name: adam(net, c.lr, c.beta1) for name, net in nets.items()}

    def lr_factor(self, fraction: float) -> float:
        """The schedule that `decay` names."""
        return self.curve(fraction)

    def noise(self, ids: Tensor, now: Now, salt: str) -> Tensor:
        """Normal noise [B, z], a function of the images' numbers, the seed and `salt`."""
        return self.bicycle.noise.draw(ids, now.seed, salt)

    def judged(self, D: torch.nn.Module, x: Tensor, image: Tensor) -> list[list[Tensor]]:
        """The maps of a discriminator for images, beside x if it is `conditional`."""
        return D(torch.cat([x, image], 1) if self.config.conditional else image)

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """G and E, then D, then D2, all from one forward pass."""
        c, gan = self.config, self.loss_of
        assert batch.y is not None
        D2 = self.D if c.shared else self.D2

        # Every second sample serves the cycle y -> z -> y; of the others D2 sees y. A batch of one serves both.
        ids = sample_ids(batch, now)[::2]
        x, y, x2, y2 = batch.x[::2], batch.y[::2], batch.x[1::2], batch.y[1::2]
        if not len(y2):
            x2, y2 = x, y
        mean, log_variance = self.bicycle.encoder(y)
        z = mean + (log_variance / 2).exp() * self.noise(ids, now, "bicycle/eps").to(mean)
        z_random = self.noise(ids, now, "bicycle/z").to(mean)
        encoded, answer = self.G(torch.cat([x, x]), torch.cat([z, z_random])).chunk(2)
        x, x2 = self.seen(x), self.seen(x2)
        frozen = {name: p.detach() for name, p in self.bicycle.encoder.named_parameters()}
        recovered, _ = functional_call(self.bicycle.encoder, frozen, (answer,))

        everyone = now.batch / len(batch)  # the sum over the batch is one over all processes
        yield (
            "G",
            {
                "adv": c.adv * over_scales(gan.adv, self.judged(self.D, x, encoded)),
                "adv2": c.adv2 * over_scales(gan.adv, self.judged(D2, x, answer)),
                "kl": c.kl * everyone * kl_normal(mean, log_variance),
                "l1": c.l1 * l1(encoded, y),
                "latent": c.latent * l1(recovered, z_random),
            },
        )

        encoded, answer = encoded.detach(), answer.detach()
        first = {
            "fake": over_scales(gan.fake, self.judged(self.D, x, encoded)),
            "real": over_scales(gan.real, self.judged(self.D, x, y)),
        }
        if not c.shared:
            yield "D", first
        second = {
            "fake": over_scales(gan.fake, self.judged(D2, x, answer)),
            "real": over_scales(gan.real, self.judged(D2, x2, y2)),
        }
        if c.shared:
            yield "D", first | {f"{name}2": term for name, term in second.items()}
        else:
            yield "D2", second

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """The image, some of its answers, the real one, and the answer whose z comes from the real one."""
        columns = {"input": batch.x}
        x = self.seen(batch.x)
        for k in range(SHOWN):
            columns[f"answer {k + 1}"] = self.bicycle.chosen(Choice(answer=k))(x)
        if batch.y is not None:
            columns |= {"real": batch.y, "like real": self.G(batch.x, self.bicycle.encoder(batch.y)[0])}
        return columns


def encoder_blocks(size: int) -> int:
    """Halvings in an encoder of images of `size` x `size` pixels: down to maps of about 8 pixels, 2 to 5."""
    return min(5, max(2, (size // 8).bit_length() - 1))
