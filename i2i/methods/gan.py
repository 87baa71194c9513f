"""GAN: Generative Adversarial Nets.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, 2014, arXiv 1406.2661. Perceptrons play

    min_G max_D  V = E log D(x) + E log(1 - D(G(z)))        (equation 1)

What is unusual: the best D is p_data / (p_data + p_g) (proposition 1), and then V = 2 JSD(p_data, p_g) - log 4 (theorem
1). The gradient of G's part of V vanishes where D is sure. So G minimises -log D(G(z)) instead (end of section 3),
which has the same fixed point and a useful gradient: this is `loss` vanilla, and minimax is the loss of V. The networks
and settings are those of the authors' code for MNIST: maxout layers and dropout in D, gradient descent with a rising
momentum. Images lie in [-1, 1] after a tanh, instead of [0, 1] after a sigmoid, which differs only in scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.optim import Optimizer

from i2i.core.config import NonNegative, UnderOne, Width
from i2i.losses.adversarial import Adversarial, adversarial
from i2i.methods import Batch, Generate, Now, Shape, Terms, sgd_or_adam_pair
from i2i.nets import MLPDiscriminator, MLPGenerator
from i2i.nets.blocks import check
from i2i.nets.mlp import uniform_weights


@dataclass(frozen=True)
class GANSettings:
    """Settings of the GAN; the defaults are those of the authors' code."""

    z: Width = 100  # numbers in the noise vector z
    noise: str = "cube"  # distribution of the noise: cube (uniform, variance 1), uniform on [-1, 1], normal
    hidden: tuple[Width, ...] = (1200, 1200)  # units of G's hidden layers
    d_hidden: tuple[Width, ...] = (240, 240)  # units of D's hidden layers
    pieces: Width = 5  # linear pieces of D's maxout units; 1: leaky ReLU instead of maxout
    slope: NonNegative = 0.0  # slope of the leaky ReLU below 0; 0: ReLU
    norm: bool = False  # batch norm in all hidden layers of G except the first
    dropout: UnderOne = 0.5  # dropout probability of D's hidden units
    input_dropout: UnderOne = 0.2  # dropout probability of D's inputs
    spread: NonNegative = 0.05  # G's initial weights are uniform in [-spread, spread]; 0: torch's default
    d_spread: NonNegative = 0.005  # D's initial weights are uniform in [-d_spread, d_spread]; 0: torch's default
    loss: str = "vanilla"  # loss of G: vanilla (maximises log D(G(z))), minimax (minimises log(1 - D(G(z))))
    optimizer: str = "sgd"  # optimizer: sgd (its learning rate falls to 0.55 of itself), adam
    lr: NonNegative = 0.1  # learning rate of both optimizers
    momentum: UnderOne = 0.5  # momentum of sgd at the start; beta1 of adam
    last_momentum: UnderOne = 0.7  # momentum of sgd at the end; it rises in a straight line


class GAN(Generate):
    """The first GAN: two perceptrons."""

    Config = GANSettings
    config: GANSettings
    tiny = {"z": 8, "hidden": (16, 16), "d_hidden": (8, 8), "size": 16}
    loss: Adversarial

    def __init__(self, config: GANSettings, shape: Shape) -> None:
        super().__init__(config, shape)
        channels, size = shape.channels_in, shape.size
        g = MLPGenerator(config.z, channels, size, config.hidden, config.slope, config.norm)
        d = MLPDiscriminator(
            channels, size, config.d_hidden, config.pieces, config.slope, config.dropout, config.input_dropout
        )
        self.G, self.D = uniform_weights(g, config.spread), uniform_weights(d, config.d_spread)
        check("loss", config.loss, ("vanilla", "minimax"))
        check("optimizer", config.optimizer, ("sgd", "adam"))
        self.loss = adversarial(config.loss)

    def optimizers(self) -> dict[str, Optimizer]:
        """Gradient descent (or Adam) for D, and for G."""
        c = self.config
        return sgd_or_adam_pair(self.D, self.G, c.optimizer, c.lr, c.momentum)

    def lr_factor(self, fraction: float) -> float:
        """With sgd, from 1 down to 0.55 exponentially: 1.000004^-steps over the authors' 250 epochs of MNIST."""
        return 1.0 if self.config.optimizer == "adam" else float(0.55**fraction)

    def momentum_at(self, fraction: float) -> float | None:
        """With sgd, from `momentum` to `last_momentum` in a straight line, as in the authors' 250 epochs."""
        c = self.config
        return None if c.optimizer == "adam" else c.momentum + (c.last_momentum - c.momentum) * fraction

    def step(self, batch: Batch, now: Now) -> Iterator[tuple[str, Terms]]:
        """D, then G against the updated D on the same noise."""
        real = batch.x
        fake = self.G(self.draw(batch, now, "G"))

        yield "D", {"real": self.loss.real(self.D(real)), "fake": self.loss.fake(self.D(fake.detach()))}

        yield "G", {"adv": self.loss.adv(self.D(fake))}
